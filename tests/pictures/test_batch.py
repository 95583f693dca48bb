"""Folders and patterns of pictures, from the command line."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from fsrcnn_rt import Upscaler, pictures
from fsrcnn_rt.pictures import batch
from fsrcnn_rt.pictures.batch import Job
from fsrcnn_rt.pictures.encoding import WriteOptions
from PIL import Image

pytestmark = pytest.mark.usefixtures("folder")


def picture(path, seed=0, size=(12, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).integers(1, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(samples).save(path)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def contents(folder):
    return {name: (folder / name).read_bytes() for name in names(folder)}


def tree(folder):
    """A folder such as people have: pictures, other files, hidden ones, folders in folders."""
    for i, name in enumerate(["a.png", "b.JPG", "deep/er/c.png", "deep/d.webp", "Фото/写真 🐈.png"]):
        picture(folder / name, i)
    (folder / "notes.txt").write_text("text")
    (folder / "deep" / "film.mp4").write_bytes(b"film")
    (folder / "deep" / "archive").write_bytes(b"no suffix")
    for hidden in (".thumbs/t.png", ".a.png", "deep/._d.webp"):
        picture(folder / "x.png")
        target = folder / hidden
        target.parent.mkdir(exist_ok=True)
        (folder / "x.png").rename(target)


def test_a_folder_beside(run, folder):
    tree(folder / "photos")
    before = names(folder)
    code, lines, _ = run("photos")
    assert code == 0
    assert len(lines) == 1
    assert lines[0].startswith("2 done in ")
    assert set(names(folder)) - set(before) == {"photos/a_x3.png", "photos/b_x3.JPG"}


def test_a_mirrored_tree(run, folder):
    tree(folder / "photos")
    code, lines, _ = run("photos", "-r", "-o", "large/ones", "-s", "2,3")
    assert (code, lines[0][:7]) == (0, "5 done ")
    stems = ["a_x{}.png", "b_x{}.JPG", "deep/d_x{}.webp", "deep/er/c_x{}.png", "Фото/写真 🐈_x{}.png"]
    assert names(folder / "large" / "ones") == sorted(stem.format(s) for stem in stems for s in (2, 3))
    with Image.open("large/ones/deep/er/c_x2.png") as result:
        assert result.size == (24, 18)


def test_suffix(run, folder):
    tree(folder / "photos")
    assert run("photos", "-r", "-o", "large", "--suffix", "")[0] == 0
    assert names(folder / "large") == ["a.png", "b.JPG", "deep/d.webp", "deep/er/c.png", "Фото/写真 🐈.png"]
    picture(folder / "a.png")
    assert run("a.png", "--suffix=-{scale}fold", "-s", "2") == (0, [], [])
    assert "a-2fold.png" in names(folder)


def test_patterns(run, folder):
    tree(folder / "photos")
    assert run("photos/*", "-o", "flat")[0] == 0
    assert names(folder / "flat") == ["a_x3.png", "b_x3.JPG"]
    assert run("photos/**/*.png", "-o", "deep")[0] == 0
    assert names(folder / "deep") == ["a_x3.png", "deep/er/c_x3.png", "Фото/写真 🐈_x3.png"]
    picture(folder / "[b]*.png")
    assert run("[b]*.png") == (0, [], [])  # a file of that name is that file
    assert "[b]*_x3.png" in names(folder)


def test_names_that_are_no_text(run, folder):
    name = os.fsdecode(b"\xff\xfe.png")
    picture(folder / "a.png")
    (folder / "a.png").rename(name)
    code, _, out = run(".", "--json")
    assert code == 0
    assert json.loads(out[0])["outputs"]["3"] == os.fsdecode(b"\xff\xfe_x3.png")


def test_outputs_are_not_upscaled_again(run, folder):
    picture(folder / "photos" / "a.png")
    assert run("photos", "-s", "2,3")[0] == 0
    before = contents(folder)
    code, lines, _ = run("photos", "-s", "2,3", "--skip-existing")
    assert (code, lines[0][:17]) == (0, "0 done, 1 skipped")
    assert contents(folder) == before
    assert run("photos", "-r", "-o", "photos/large")[0] == 0
    before = contents(folder)
    assert run("photos", "-r", "-o", "photos/large", "--skip-existing")[0] == 0
    assert contents(folder) == before
    code, lines, _ = run("photos", "-s", "2,3")
    assert (code, lines) == (
        2,
        ["fsrcnn-rt: photos/a_x2.png: exists already (see --overwrite and --skip-existing)"],
    )


def test_what_is_in_the_output_folder_is_no_input(run, folder):
    """Not even what this call would not write itself, such as another scale of an earlier one."""
    picture(folder / "photos" / "a.png")
    picture(folder / "photos" / "large" / "own.png")
    assert run("photos", "-r", "-o", "photos/large", "-s", "2")[0] == 0
    assert run("photos", "-r", "-o", "photos/large", "-s", "3")[0] == 0
    large = [f"photos/large/{name}.png" for name in ("a_x2", "a_x3", "own")]
    assert names(folder) == ["photos/a.png", *large]


def test_overwritten_outputs_are_the_same(run, folder):
    picture(folder / "photos" / "a.png")
    run("photos")
    before = contents(folder)
    (folder / "photos" / "a_x3.png").write_bytes(b"old")
    assert run("photos", "--overwrite")[0] == 0
    assert contents(folder) == before


def test_missing_scales_alone_are_made(run, folder):
    picture(folder / "a.png")
    (folder / "a_x3.png").write_bytes(b"precious")
    assert run("a.png", "-s", "2,3,4", "--skip-existing") == (0, [], [])
    assert names(folder) == ["a.png", "a_x2.png", "a_x3.png", "a_x4.png"]
    assert (folder / "a_x3.png").read_bytes() == b"precious"


def test_clashes_are_refused_before_any_work(run, folder):
    picture(folder / "photos" / "a.png")
    picture(folder / "photos" / "a.jpg")
    code, lines, _ = run("photos", "-o", "out", "-f", "webp")
    assert code == 2
    assert lines == ["fsrcnn-rt: out/a_x3.webp: is the output of both photos/a.jpg and photos/a.png"]
    assert run("photos", "-o", "photos/a.png")[0] == 2
    assert names(folder) == ["photos/a.jpg", "photos/a.png"]
    assert not (folder / "out").exists()
    assert run("photos", "-o", "out")[0] == 0
    assert names(folder / "out") == ["a_x3.jpg", "a_x3.png"]


def test_an_input_is_never_overwritten(run, folder):
    picture(folder / "photos" / "a.png")
    before = contents(folder)
    code, lines, _ = run("photos", "--suffix", "", "--overwrite")
    assert (code, lines) == (2, ["fsrcnn-rt: photos/a.png: is an input, and would be overwritten"])
    assert run("photos", "--suffix", "", "-o", "photos", "--overwrite")[0] == 2
    assert contents(folder) == before


def test_bad_files_do_not_stop_the_rest(run, folder):
    tree(folder / "photos")
    (folder / "photos" / "aa.png").write_text("text")
    data = (folder / "photos" / "a.png").read_bytes()
    (folder / "photos" / "b_cut.png").write_bytes(data[: len(data) // 2])
    code, lines, _ = run("photos", "-r", "-o", "large")
    assert code == 1
    assert lines[0] == "fsrcnn-rt: photos/aa.png: is not a picture in a format that Pillow reads"
    assert lines[1].startswith("fsrcnn-rt: photos/b_cut.png: cannot be read: ")
    assert lines[2].startswith("5 done, 2 failed in ")
    assert len(lines) == 3
    assert len(names(folder / "large")) == 5


def test_lines_of_json(run, folder):
    picture(folder / "photos" / "a.png")
    picture(folder / "photos" / "c.png")
    (folder / "photos" / "b.png").write_text("text")
    run("photos/c.png", "-o", "large/")
    code, lines, out = run("photos", "-o", "large", "--skip-existing", "--json", "-q")
    assert code == 1
    assert len(lines) == 1  # the error
    skipped, done, failed, summary = map(json.loads, out)
    assert skipped == {"input": "photos/c.png", "status": "skipped", "outputs": {}}
    assert 0 <= done.pop("seconds") < 60
    assert done == {
        "input": "photos/a.png",
        "status": "done",
        "outputs": {"3": "large/a_x3.png"},
        "weights": "random",
        "content": None,
        "denoise": None,
        "size": [12, 9],
        "lossless": True,
    }
    assert failed == {
        "input": "photos/b.png",
        "status": "failed",
        "outputs": {},
        "error": "is not a picture in a format that Pillow reads",
    }
    assert 0 <= summary.pop("seconds") < 60
    assert summary == {"done": 1, "skipped": 1, "failed": 1}


def test_an_unreadable_folder_is_no_empty_one(run, folder, monkeypatch):
    picture(folder / "photos" / "a.png")

    def walk(top, onerror):
        onerror(PermissionError(13, "Permission denied", str(top)))

    monkeypatch.setattr(os, "walk", walk)
    assert run("photos")[:2] == (2, ["fsrcnn-rt: photos: cannot be read: Permission denied"])


@pytest.mark.parametrize("workers", ["1", "2", "1:1:1", "3:2:4"])
def test_the_result_does_not_depend_on_the_workers(run, folder, model, workers):
    for i in range(17):  # enough for a thread to each
        picture(folder / "photos" / f"{i}.png", i, (10 + i, 30 - i))
    assert run("photos", "-o", "large", "-j", workers)[0] == 0
    upscaler = Upscaler(model)
    for i in range(17):
        with Image.open(folder / "photos" / f"{i}.png") as small, Image.open(f"large/{i}_x3.png") as large:
            np.testing.assert_array_equal(np.asarray(large), np.asarray(upscaler.upscale(small)))


def test_stages_take_so_many_at_a_time(folder, model, monkeypatch):
    for i in range(20):
        picture(folder / f"{i}.png")
    jobs = [Job(folder / f"{i}.png", {2: folder / f"{i}_x2.png"}) for i in range(20)]
    lock, running, most = threading.Lock(), {}, {}

    def counted(stage):
        original = getattr(pictures, stage)

        def call(*arguments, **options):
            with lock:
                running[stage] = running.get(stage, 0) + 1
                most[stage] = max(most.get(stage, 0), running[stage])
            try:
                time.sleep(0.005)
                return original(*arguments, **options)
            finally:
                with lock:
                    running[stage] -= 1

        monkeypatch.setattr(pictures, stage, call)

    for stage in ("read", "upscale", "write"):
        counted(stage)
    workers = batch.Workers(load=2, proc=3, save=1)
    outcomes = list(batch.run(jobs, Upscaler(model, threads=3), workers, WriteOptions()))
    assert [outcome.job for outcome in outcomes] == jobs
    assert all(outcome.error is None for outcome in outcomes)
    assert most["read"] <= 2
    assert most["upscale"] <= 3
    assert most["write"] <= 1
    assert sum(most.values()) > 3  # they overlap


@pytest.mark.parametrize(("count", "threads"), [(3, 2), (12, 1)])
def test_many_pictures_take_a_thread_each_and_few_share_all(folder, model, monkeypatch, count, threads):
    jobs = [Job(folder / f"{i}.png", {2: folder / f"{i}_x2.png"}) for i in range(count)]
    for job in jobs:
        picture(job.source)
    used = set()
    original = pictures.upscale

    def call(picture, upscaler, scales, **options):
        used.add(upscaler.threads)
        return original(picture, upscaler, scales, **options)

    monkeypatch.setattr(pictures, "upscale", call)
    outcomes = list(batch.run(jobs, Upscaler(model, threads=2), batch.Workers(1, 2, 2), WriteOptions()))
    assert all(outcome.error is None for outcome in outcomes)
    assert used == {threads}


def test_a_large_picture_among_many_has_all_threads(folder, model, monkeypatch):
    jobs = [Job(folder / f"{i}.png", {2: folder / f"{i}_x2.png"}) for i in range(12)]
    for i, job in enumerate(jobs):
        picture(job.source, i, (60, 45) if i == 5 else (12, 9))
    used = {}
    original = pictures.upscale

    def call(picture, upscaler, scales, **options):
        used.setdefault(picture.size, set()).add(upscaler.threads)
        return original(picture, upscaler, scales, **options)

    monkeypatch.setattr(pictures, "upscale", call)
    monkeypatch.setattr(batch, "_MEMORY", 1 << 16)  # of which two results may take half each
    outcomes = list(batch.run(jobs, Upscaler(model, threads=2), batch.Workers(1, 2, 2), WriteOptions()))
    assert all(outcome.error is None for outcome in outcomes)
    assert used == {(12, 9): {1}, (60, 45): {2}}


def test_memory_follows_its_limit(folder, model, monkeypatch):
    for i in range(12):
        picture(folder / f"{i}.png")
    jobs = [Job(folder / f"{i}.png", {2: folder / f"{i}_x2.png"}) for i in range(12)]
    monkeypatch.setattr(batch, "_MEMORY", 1)  # less than any picture: one at a time
    lock, held = threading.Lock(), []

    def alone(name):
        original = getattr(pictures, name)

        def call(*arguments, **options):
            with lock:
                held.append(name)
            return original(*arguments, **options)

        monkeypatch.setattr(pictures, name, call)

    alone("upscale")
    alone("write")
    workers = batch.Workers(load=4, proc=2, save=4)
    outcomes = list(batch.run(jobs, Upscaler(model, threads=2), workers, WriteOptions()))
    assert all(outcome.error is None for outcome in outcomes)
    assert held == ["upscale", "write"] * 12


def test_interrupted_and_run_again(folder, model_file, run):
    for i in range(40):
        picture(folder / "photos" / f"{i:02}.png", i, (120, 90))
    (folder / "photos" / "deeper").mkdir()
    picture(folder / "photos" / "deeper" / "x.png")
    assert run("photos", "-r", "-o", "whole")[0] == 0

    command = [
        sys.executable,
        "-m",
        "fsrcnn_rt",
        "-m",
        str(model_file),
        "photos",
        "-r",
        "-o",
        "large",
        "--json",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        lines = [process.stdout.readline() for _ in range(3)]  # it is at work
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "fsrcnn-rt: interrupted"
    summary = json.loads(out.splitlines()[-1])
    assert len(lines) <= summary["done"] < 41
    made = contents(folder / "large")
    whole = contents(folder / "whole")
    assert summary["done"] <= len(made) < 41
    assert made.items() <= whole.items()  # whole files only, and nothing beside them

    assert run("photos", "-r", "-o", "large", "--skip-existing")[0] == 0
    assert contents(folder / "large") == whole


def test_interrupted_by_the_caller(folder, model):
    for i in range(30):
        picture(folder / f"{i}.png")
    jobs = [Job(folder / f"{i}.png", {2: folder / f"{i}_x2.png"}) for i in range(30)]
    outcomes = batch.run(jobs, Upscaler(model, threads=1), batch.Workers(1, 1, 1), WriteOptions())
    assert next(outcomes).error is None
    outcomes.close()
    for thread in threading.enumerate():
        if thread.name.startswith("fsrcnn-rt"):
            thread.join()  # what was begun is finished
    made = [path for path in folder.iterdir() if "_x2" in path.name]
    assert 1 <= len(made) < 30
    for path in made:
        with Image.open(path) as image:
            image.load()


def test_nothing_is_begun_after_an_interruption(folder, model, monkeypatch):
    """A picture that is being read then is read to its end, and goes no further."""
    for i in range(8):
        picture(folder / f"{i}.png")
    jobs = [Job(folder / f"{i}.png", {2: folder / f"{i}_x2.png"}) for i in range(8)]
    reading, begun, lines = threading.Event(), [], []
    line = batch.Pipeline

    def kept(*arguments, **options):
        lines.append(line(*arguments, **options))
        return lines[0]

    monkeypatch.setattr(batch, "Pipeline", kept)

    def spied(name):
        original = getattr(pictures, name)

        def call(first, *arguments, **options):
            begun.append(name)
            if name == "read" and first != jobs[0].source:
                reading.set()
                lines[0].stopped.wait(10)
            return original(first, *arguments, **options)

        monkeypatch.setattr(pictures, name, call)

    for name in ("read", "upscale", "write"):
        spied(name)
    outcomes = batch.run(jobs, Upscaler(model, threads=1), batch.Workers(1, 1, 1), WriteOptions())
    assert next(outcomes).error is None
    assert reading.wait(10)
    outcomes.close()
    for thread in threading.enumerate():  # which nobody waits for but the end of the process
        if thread.name.startswith("fsrcnn-rt"):
            thread.join(10)
    assert sorted(begun) == ["read", "read", "upscale", "write"]
    assert names(folder) == sorted(["0_x2.png", *(f"{i}.png" for i in range(8))])


def test_help_is_short_and_loads_little(folder):
    code = "import sys, fsrcnn_rt.cli; fsrcnn_rt.cli.main(['--help']); print(*sys.modules)"
    environment = {**os.environ, "COLUMNS": "100"}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    *lines, loaded = result.stdout.splitlines()
    assert [line for line in lines if line.endswith(":")] == [
        "input:",
        "output:",
        "size, model and speed:",
        "messages:",
        "commands:",
    ]
    assert lines.index("commands:") <= 61
    assert not {"PIL", "tqdm", "safetensors", "fsrcnn_rt.pictures.batch"} & set(loaded.split())

"""Pictures and video on a Ray cluster of two nodes, which are processes here: the same as on one machine."""

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import fsrcnn_rt
import numpy as np
import pytest
from fsrcnn_rt import Upscaler, cli
from fsrcnn_rt.cluster import upscale_pictures, upscale_videos
from fsrcnn_rt.cluster.pictures import check_version
from fsrcnn_rt.errors import CommandError, UsageError
from fsrcnn_rt.plan import Naming
from PIL import Image

ray = pytest.importorskip("ray", reason="a cluster needs Ray")
pytest.importorskip("fsspec", reason="a cluster needs fsspec")

from fsrcnn_rt.cluster import nodes  # noqa: E402

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
# A head that looks more often whether nodes are alive than every few seconds.
HEAD = {**NODE, "include_dashboard": False, "_system_config": {"health_check_period_ms": 500}}


@pytest.fixture(scope="module")
def s3():
    """An S3-compatible server here; its address and keys are in the environment, also of the nodes."""
    pytest.importorskip("s3fs", reason="s3:// needs s3fs")
    server = pytest.importorskip("moto.server", reason="needs moto as a server of S3")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(scope="module")
def environment(request):
    """What nodes are to have in their environment."""
    keys = {"RAY_USAGE_STATS_ENABLED": "0", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    keys |= {"AWS_DEFAULT_REGION": "us-east-1", "RAY_worker_niceness": "0"}
    with suppress(pytest.skip.Exception):
        keys["AWS_ENDPOINT_URL"] = request.getfixturevalue("s3")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def two_nodes(environment):
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=HEAD)
    made.doomed = made.add_node(**NODE)
    ray.init(address=made.address, log_to_driver=False, logging_level="error")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def pictures(folder):
    """Pictures in folders, one of which is none."""
    rng = np.random.default_rng(3)
    for i in range(12):
        path = folder / "in" / f"{i % 3}" / f"{i}.{'jpg' if i % 4 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + i, 30, 3), np.uint8)).save(path, dpi=(90, 90))
    (folder / "in" / "0" / "bad.png").write_bytes(b"no picture")
    return folder / "in"


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def lines(capsys, target):
    """Lines of JSON without what differs from run to run, in any order."""
    found = [json.loads(line.replace(target, "TARGET")) for line in capsys.readouterr().out.splitlines()]
    return sorted(json.dumps({**line, "seconds": 0}) for line in found)


@pytest.mark.usefixtures("two_nodes")
def test_pictures_are_those_of_the_local_batch(pictures, model_file, capsys):
    common = ["-r", "-m", str(model_file), "-s", "2,3", "--json", "-q"]
    assert cli.main([*common, "in", "-o", "local"]) == 1
    local = lines(capsys, "local")
    assert cli.main(["cluster", *common, "in", "far"]) == 1
    assert lines(capsys, "far") == local
    assert sum('"failed", "outputs": {}, "error"' in line for line in local) == 1
    assert tree("far") == tree("local") and len(tree("far")) == 24

    assert cli.main(["cluster", *common, "--skip-existing", "in", "far"]) == 1
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert Counter(line.get("status") for line in again) == {"skipped": 12, "failed": 1, None: 1}
    assert cli.main(["cluster", *common, "in", "far"]) == 2  # as the outputs exist


@pytest.mark.usefixtures("two_nodes")
def test_a_store_by_url(s3, pictures, model):
    import fsspec

    store = fsspec.filesystem("s3")
    for bucket in ("small", "large"):
        store.mkdir(bucket)
    store.put("in/", "small/pictures/", recursive=True)
    upscaler = Upscaler(model, threads=1)
    done = upscale_pictures("s3://small/pictures", "s3://large/pictures", 2, model=upscaler, recursive=True)
    local = upscale_pictures("in", "local", 2, model=upscaler, recursive=True)
    assert (done.done, list(done.failed)) == (12, ["s3://small/pictures/0/bad.png"])
    assert done.failed["s3://small/pictures/0/bad.png"] == local.failed["in/0/bad.png"]
    store.get("large/pictures/", "fetched/", recursive=True)
    assert tree("fetched") == tree("local") and len(tree("local")) == 12
    skip = Naming(existing="skip")
    again = upscale_pictures(
        "s3://small/pictures", "s3://large/pictures", 2, model=upscaler, recursive=True, naming=skip
    )
    assert (again.done, again.skipped, len(again.failed)) == (0, 12, 1)
    with pytest.raises(UsageError, match="s3://nowhere: does not exist"):
        upscale_pictures("in", "s3://nowhere", 2, model=upscaler, recursive=True)


@pytest.mark.usefixtures("two_nodes")
def test_a_film_in_parts_is_the_film(folder, model, s3):
    pytest.importorskip("av", reason="video files need PyAV")
    import fsspec
    from clips import add_frames, add_video, av, frames, make, planes_of, times
    from fsrcnn_rt import upscale_video
    from fsrcnn_rt.cluster.videos import Encoding
    from fsrcnn_rt.files import open_regular
    from fsrcnn_rt.video.y4m import upscale_y4m

    (folder / "in").mkdir()
    for name, count in (("one", 23), ("other", 23), ("short", 5)):
        with av.open(f"in/{name}.mkv", "w") as container:
            stream = add_video(container, codec="libx264")
            stream.codec_context.options = {"x264-params": "keyint=6:min-keyint=6:scenecut=0"}
            add_frames(container, stream, range(count))
    make("in/plain.y4m", 3, codec="rawvideo")
    Path("in/bad.mp4").write_bytes(b"no film")
    upscaler = Upscaler(model, threads=1)
    encoding = Encoding(crf=0, preset="ultrafast")
    told = []
    done = upscale_videos("in", "out", model=upscaler, frames=6, encoding=encoding, progress=told.append)
    assert (done.done, list(done.failed)) == (4, ["in/bad.mp4"])
    assert done.failed["in/bad.mp4"].startswith("is no video that can be read: ")
    sizes = {outcome.job.source.name: outcome.size for outcome in told}
    assert sizes == {name: (44, 30) for name in ("one.mkv", "other.mkv", "short.mkv")} | {
        "plain.y4m": None,
        "bad.mp4": None,
    }
    assert len(list(frames("out/short_x2.mkv"))) == 5
    with open_regular(Path("in/plain.y4m")) as source, Path("plain.y4m").open("wb") as sink:
        upscale_y4m(source, sink, 2, model=upscaler)
    assert Path("out/plain_x2.y4m").read_bytes() == Path("plain.y4m").read_bytes()
    fsspec.filesystem("s3").mkdir("films")
    fsspec.filesystem("s3").put("in/one.mkv", "films/in/one.mkv")
    assert upscale_videos("s3://films/in", "s3://films/out", model=upscaler, frames=6, encoding=encoding).done
    fsspec.filesystem("s3").get("films/out/one_x2.mkv", "out/fetched.mkv")
    upscale_video("in/one.mkv", "whole.mkv", 2, model=upscaler, crf=0, preset="ultrafast")
    for made in ("out/one_x2.mkv", "out/other_x2.mkv", "out/fetched.mkv"):
        assert times(made) == times("whole.mkv")
        for left, right in zip(frames(made), frames("whole.mkv"), strict=True):
            assert all(map(np.array_equal, planes_of(left), planes_of(right)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray Data's own
@pytest.mark.usefixtures("two_nodes")
def test_in_a_job_of_the_users_own(model):
    pytest.importorskip("pyarrow", reason="Ray Data needs pyarrow")
    pytest.importorskip("pandas", reason="Ray Data needs pandas")
    import ray.data

    class Enlarge:
        """As docs/cluster.md has it."""

        def __init__(self, upscaler):
            self.upscaler = upscaler

        def __call__(self, batch):
            return {"large": np.stack([self.upscaler.upscale(image, 2) for image in batch["image"]])}

    ray.data.DataContext.get_current().enable_progress_bars = False
    upscaler = Upscaler(model, threads=1)
    images = np.random.default_rng(5).integers(0, 256, (6, 12, 10, 3), np.uint8)
    rows = [{"number": i, "image": image} for i, image in enumerate(images)]
    made = ray.data.from_items(rows).map_batches(
        Enlarge, fn_constructor_args=(upscaler,), batch_size=2, concurrency=1, num_cpus=1
    )
    large = {row["large"].tobytes() for row in made.take_all()}
    assert large == {upscaler.upscale(image, 2).tobytes() for image in images}


@pytest.mark.usefixtures("two_nodes")
def test_what_kills_its_process_stops_nothing_else(monkeypatch):
    monkeypatch.setattr(nodes, "RETRIES", 0)
    task = nodes.remote(lambda items: [f"{item}!" for item in items if item != "bad" or os._exit(1)], 1)
    chunks = [["a", "b"], ["c", "bad", "d"], ["e"]]
    ended = list(nodes.carry_out(chunks, task, 2))
    assert sorted(result for _, results, _ in ended if results for result in results) == [
        *("a!", "b!", "c!", "d!", "e!")
    ]
    ((items, _, error),) = [each for each in ended if each[1] is None]
    assert items == ["bad"] and error == "its process has died 1 times on the cluster (WorkerCrashedError)"


@pytest.mark.usefixtures("two_nodes")
def test_shares_of_the_nodes(folder):
    with nodes.nodes(None, None) as shares:
        assert shares.cpus == 1 and shares.tasks >= 2
    with pytest.raises(ValueError, match="cpus=9 is not 1 to 1"), nodes.nodes(None, 9):
        pass
    with pytest.raises(ValueError, match="connected to a Ray cluster already"), nodes.nodes("auto", None):
        pass


def test_a_node_dies_half_way(two_nodes, folder, model):
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    left = folder / "out" / ".0_x2.png.01234567.fsrcnn-rt.tmp"  # as a node that dies while it writes does
    left.touch()
    rng = np.random.default_rng(4)
    for i in range(96):
        Image.fromarray(rng.integers(0, 256, (120, 160), np.uint8)).save(folder / "in" / f"{i}.png")
    upscaler = Upscaler(model, threads=1)
    told = []

    def progress(outcome):
        told.append(outcome.job.source.name)
        left.touch()
        if len(told) == 1:  # a task of several pictures is under way there
            two_nodes.remove_node(two_nodes.doomed, allow_graceful=False)

    done = upscale_pictures("in", "out", 2, model=upscaler, progress=progress)
    assert (done.done, done.skipped, done.failed) == (96, 0, {})
    assert Counter(told) == Counter(f"{i}.png" for i in range(96))
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(f"{i}_x2.png" for i in range(96))
    for i in range(96):
        with Image.open(f"in/{i}.png") as small, Image.open(f"out/{i}_x2.png") as large:
            assert np.array_equal(large, upscaler.upscale(small.copy(), 2))


def test_a_node_of_another_version_is_refused():
    check_version(fsrcnn_rt.__version__)
    with pytest.raises(CommandError, match=r"has fsrcnn-rt .*, and the command is of 0\.0$"):
        check_version("0.0")


def test_ray_is_imported_by_the_command_alone(folder, model_file):
    Image.new("L", (8, 6)).save("small.png")
    code = (
        "import sys, fsrcnn_rt.cluster\nfrom fsrcnn_rt import cli\n"
        f"assert cli.main(['-m', {str(model_file)!r}, 'small.png']) == 0\n"
        "print(*{'ray', 'fsspec'} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_wrong_usage_is_told_before_ray_is_started(folder, capsys, monkeypatch):
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    Path("in").mkdir()
    for arguments, message in (
        (["nowhere", "out"], "cluster: nowhere: does not exist, or nothing is in it"),
        (["in", "out"], "cluster: in: has no pictures in it (-r looks into the folders in it)"),
        (["in", "what://out"], "cluster: what://out: Protocol not known: what"),
        (["--part", "0", "--video", "in", "out"], "cluster: part=0 is not 1 or more"),
        (["--video", "-s", "2,3", "in", "out"], "cluster: scale='2,3' is several"),
        (["--video", "--crf", "99", "in", "out"], "cluster: crf=99 is not 0 to 63"),
    ):
        assert cli.main(["cluster", *arguments]) == 2
        assert capsys.readouterr().err.startswith(f"fsrcnn-rt: {message}")


def test_a_cluster_that_is_not_there(monkeypatch):
    def init(*_, **__):
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(CommandError, match="no Ray at host:1: nobody answers"), nodes.nodes("host:1", None):
        pass

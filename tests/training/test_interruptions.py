"""Trainings that are killed or stopped go on as if nothing had been, and bits do not depend on threads.

FSRCNN_RT_KILLS=20 tries so many random moments, some of them from the start of the process on.
"""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from fsrcnn_rt import cli, load
from fsrcnn_rt.cli import process
from recipes import IDN, RECIPE, SRCNN, change_stage

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'train'")

from fsrcnn_rt.training import trainer  # noqa: E402
from fsrcnn_rt.training.config import parse_recipe  # noqa: E402
from fsrcnn_rt.training.trainer import Training  # noqa: E402

KILLS = int(os.environ.get("FSRCNN_RT_KILLS", "0"))
SIGNALS = [getattr(signal, name) for name in ("SIGKILL", "SIGTERM", "SIGINT") if hasattr(signal, name)]
STEPS = 400 if not KILLS else 500 * KILLS

# The command, with a checkpoint by time as often as a small network can be killed.
COMMAND = """
from fsrcnn_rt.cli import process, train
main = train.main
def often(argv):
    from fsrcnn_rt.training import trainer
    trainer.SAVE_EVERY = 0.1
    return main(argv)
train.main = often
process.command()
"""

pytestmark = pytest.mark.usefixtures("_one_thread")


def small(**changes):
    """A recipe of one stage that is evaluated at its end alone."""
    document = change_stage(0, steps=STEPS, **changes)
    document["training"]["evaluate_every"] = STEPS
    document["training"]["optimizer"] = "soap"
    del document["stage"][1]
    return document


def begin(recipe, data, folder, **options):
    return Training(recipe, data, folder / "x.checkpoint", folder / "x.log.csv", **options)


def steps_kept(checkpoint):
    return torch.load(checkpoint, weights_only=True)["total"] if checkpoint.exists() else 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send")
def test_a_run_killed_at_random_moments_ends_as_a_whole_one(data, tmp_path):
    text = RECIPE[: RECIPE.rindex("[[stage]]")].replace("steps = 10", f"steps = {STEPS}")
    text = text.replace("evaluate_every = 4", f"evaluate_every = {STEPS}").replace('"adam"', '"soap"')
    (tmp_path / "recipe.toml").write_text(text)

    def start(output, *more):
        arguments = [str(tmp_path / "recipe.toml"), "--data", str(data), "-o", str(output), *more]
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, "train", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    assert cli.main(["train", str(tmp_path / "recipe.toml"), "--data", str(data), "-o", str(whole)]) == 0
    checkpoint, moments, kept = killed.with_suffix(".checkpoint"), random.Random(1), 0
    for number in range(10 * max(KILLS, 1)):
        with start(killed, *["--resume"] * checkpoint.exists()) as child:
            if number < (KILLS or 2):
                if number % 4 or not KILLS:
                    child.stdout.readline()  # of the pictures: the training begins
                time.sleep(moments.uniform(0, 4.0 if KILLS else 0.2))
                child.send_signal(asked := SIGNALS[number % len(SIGNALS)])
            _, told = child.communicate()
        before, kept = kept, steps_kept(checkpoint)
        assert kept >= before
        if KILLS:
            print(f"{asked.name} {child.returncode}: {before} to {kept} steps; {told.strip()}")
        if child.returncode == 0:
            break
        if child.returncode == -asked:  # before the command handles signals
            continue
        assert child.returncode == 128 + asked
        assert told in ("fsrcnn-rt: interrupted\n", "fsrcnn-rt: interrupted, continue with --resume\n")
    assert number >= (KILLS or 2)
    for name, value in load(whole).tensors.items():
        assert np.array_equal(value, load(killed).tensors[name]), name
    assert load(whole).provenance == load(killed).provenance


def test_checkpoints_are_written_by_time(data, tmp_path, monkeypatch):
    """And at most five minutes of work are lost."""
    assert trainer.SAVE_EVERY <= 300
    now = [0.0]
    monkeypatch.setattr(trainer.time, "monotonic", lambda: now[0])
    training = begin(parse_recipe(small()), data, tmp_path)
    saved = []
    save = training._save
    monkeypatch.setattr(training, "_save", lambda: (saved.append(training._step), save()))

    def is_over():
        now[0] += trainer.SAVE_EVERY / 10
        return training._step == 40

    training.run(is_asked_to_stop=is_over)
    assert saved == [5, 16, 20, 31, 40]  # rows of the log are at 5 and 20, and it is asked to stop at 40
    assert steps_kept(tmp_path / "x.checkpoint") == 40


def test_a_training_asked_to_stop_ends_after_the_step_with_a_checkpoint(data, tmp_path):
    recipe = parse_recipe(small())
    (tmp_path / "whole").mkdir()
    whole = begin(recipe, data, tmp_path / "whole")
    whole.run(9)
    training = begin(recipe, data, tmp_path)
    assert not training.run(is_asked_to_stop=lambda: training._step == 7)
    assert steps_kept(tmp_path / "x.checkpoint") == 7
    resumed = begin(recipe, data, tmp_path)
    resumed.resume()
    resumed.run(2)
    for name, value in whole.average.items():
        assert torch.equal(value, resumed.average[name]), name


def test_a_signal_is_noted_and_a_second_one_ends_the_process(monkeypatch):
    ended = []
    monkeypatch.setattr(process, "_end", lambda number, message: ended.append(number))
    monkeypatch.setattr(process, "_received", None)
    monkeypatch.setattr(process, "start_new_thread", lambda *_: None)
    with process.noted(9.0) as is_asked_to_stop:
        assert not is_asked_to_stop()
        process._stop(signal.SIGTERM, None)
        process._stop(signal.SIGTERM, None)  # as ``timeout`` sends it, to the process and to its group
        assert is_asked_to_stop()
        assert not ended
        assert process._patience == 9.0
        monkeypatch.setattr(process, "_received_at", time.monotonic() - 1)
        process._stop(signal.SIGINT, None)
        assert ended == [signal.SIGINT]
    monkeypatch.setattr(process, "_received", None)
    with process.noted(9.0):
        pass
    assert process._patience == process._PATIENCE


@pytest.mark.parametrize("network", [None, SRCNN], ids=["fsrcnn", "srcnn"])
def test_bits_do_not_depend_on_threads(data, tmp_path, network):
    """Where the core computes the gradients: 30 steps of SOAP, linear blocks, and PyTorch's own threads."""
    document = small(batch=16, patch=12)
    document["network"] = network or document["network"] | {"d": 24, "s": 8, "m": 2, "expansion": 64}
    results = []
    for threads in (1, 2, 3, 5):
        folder = tmp_path / str(threads)
        folder.mkdir()
        torch.set_num_threads(threads)
        training = begin(parse_recipe(document), data, folder, threads=threads)
        training.run(30)
        assert torch.get_num_threads() == threads
        results.append(training)
    torch.set_num_threads(1)
    for other in results[1:]:
        for name, value in results[0].average.items():
            assert torch.equal(value, other.average[name]), name
        assert other.figures == results[0].figures


def test_pytorch_gets_the_threads_where_it_computes_the_gradients(data, tmp_path):
    document = small()
    document["network"] = IDN
    training = begin(parse_recipe(document), data, tmp_path, threads=3)
    with training._torch_threads():
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 1

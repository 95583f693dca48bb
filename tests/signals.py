"""Signals at random moments of the command, over pictures and video: ``python tests/signals.py 300``.

Whatever the moment, nothing half-written may be left, and the end is one line and the signal's exit code.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import fsrcnn_rt
import numpy as np
import oracle
import pytest
from conversions import to_model
from PIL import Image

if not hasattr(signal, "SIGHUP"):
    pytest.skip("Windows has no signals from one process to another", allow_module_level=True)
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
INTERRUPTED = b"fsrcnn-rt: interrupted\n"

# nohup, and a shell that starts this in the background, have them ignored by all that is started from here.
for number in CODES:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# The imports of a command are told on stderr, which says how far it has come.
COMMAND = [sys.executable, "-X", "importtime", "-m", "fsrcnn_rt"]


def started(arguments, folder, seen=b"argparse", **options):
    """Start a command, and wait for an import: of argparse, before which it has begun to handle signals."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        bufsize=0,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        **options,
    )
    while (line := process.stderr.readline()) and seen not in line:
        pass
    assert line, f"{arguments}: ended without an import of {seen}"
    return process


def ended(process):
    """Wait for the end; gives the exit code and what was told beside the imports."""
    error = process.stderr.read()
    code = process.wait()
    process.stderr.close()
    return code, b"".join(line for line in error.splitlines(True) if not line.startswith(b"import time:"))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Work:
    """A command in a folder of its own, and all that it writes when nothing disturbs it."""

    def __init__(self, name, arguments, make):
        self.name, self.arguments = name, arguments
        self.folder = Path(tempfile.mkdtemp())
        make(self.folder)
        self.before = contents(self.folder)
        process = started(arguments, self.folder)
        start = time.perf_counter()
        assert ended(process) == (0, b"")
        self.seconds = time.perf_counter() - start
        self.whole = contents(self.folder)
        assert len(self.whole) > len(self.before)

    def strike(self, rng):
        """Send a signal at a random moment, and check what is left; gives the signal and the exit code."""
        for name in self.whole.keys() - self.before.keys():
            (self.folder / name).unlink(missing_ok=True)
        number = rng.choice(list(CODES))
        process = started(self.arguments, self.folder)
        time.sleep(rng.uniform(0, self.seconds))
        process.send_signal(number)
        if rng.random() < 0.3:  # the impatient
            process.send_signal(number)
        code, error = ended(process)
        assert (code, error) in ((CODES[number], INTERRUPTED), (0, b"")), (self.name, code, error)
        left = contents(self.folder)
        assert left.items() <= self.whole.items(), sorted(left.keys() - self.whole.keys())
        assert code == CODES[number] or left == self.whole
        return number.name, code

    def close(self):
        shutil.rmtree(self.folder)


def make_pictures(folder):
    rng = np.random.default_rng(0)
    for i in range(30):
        samples = rng.integers(0, 256, (45, 60, 3), np.uint8)
        Image.fromarray(samples).save(folder / f"{i:02}.{'png' if i % 3 else 'jpg'}")


def make_y4m(folder):
    frames = np.random.default_rng(0).integers(0, 256, (100, 30 * 44 * 3 // 2), np.uint8)
    with (folder / "a.y4m").open("wb") as file:
        file.write(b"YUV4MPEG2 W44 H30 F25:1\n")
        for frame in frames:
            file.write(b"FRAME\n" + frame.tobytes())


def make_clip(folder):
    from clips import make

    make(folder / "a.avi", count=60)  # without an identifier by chance, which Matroska has


def works(model_file):
    """Everything that is struck, as far as packages are there."""
    model = ["-q", "-m", str(model_file)]
    yield Work("pictures", [".", "-s", "2", *model], make_pictures)
    yield Work("Y4M", ["a.y4m", *model], make_y4m)
    try:
        import av  # noqa: F401
    except ModuleNotFoundError:
        return
    yield Work("PyAV", ["a.avi", *model], make_clip)


def strike_all(count, seed, model_file):
    """Strike so often, each work in its turn; gives how often each end was seen."""
    rng, seen = random.Random(seed), Counter()
    them = list(works(model_file))
    try:
        for i in range(count):
            work = them[i % len(them)]
            seen[(work.name, *work.strike(rng))] += 1
    finally:
        for work in them:
            work.close()
    return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model_file = Path(folder) / "random.safetensors"
        net = oracle.random_net(np.random.default_rng(5), 8, 3, 1)
        fsrcnn_rt.save_model(to_model(net), model_file)
        for end, times in sorted(strike_all(options.count, options.seed, model_file).items()):
            print(*end, times)


if __name__ == "__main__":
    main()

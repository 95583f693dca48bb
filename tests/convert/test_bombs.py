"""What asks for more than it may have is refused: in little memory, and without running anything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import bombs
import pytest

MOST = 100 << 20


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What became of every file, read in one process."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("peaks of memory are those that Linux counts")
    folder = tmp_path_factory.mktemp("bombs") / "x"
    folder.mkdir()
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder.parent / "secret").write_bytes(bytes(100))
    os.mkfifo(folder / "pipe")
    (folder / "x3.onnx").write_bytes(bytes(100))
    paths = []
    for suffix, files in bombs.FORMATS.items():
        for i, (data, _) in enumerate(files.values()):
            paths.append(folder / f"{i}{suffix}")
            paths[-1].write_bytes(data)
    command = [sys.executable, bombs.__file__, "convert", *paths]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not (folder / "ran").exists()
    return {name: (outcome, taken) for name, outcome, taken in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize(
    ("file", "message"),
    [
        pytest.param(f"{i}{suffix}", message, id=f"{suffix} {name}")
        for suffix, files in bombs.FORMATS.items()
        for i, (name, (_, message)) in enumerate(files.items())
    ],
)
def test_a_file_that_asks_for_too_much_is_refused(outcomes, file, message):
    outcome, taken = outcomes[file]
    kind, _, told = outcome.partition(": ")
    assert kind in ("ModelError", "OSError"), outcome[:500]
    with pytest.raises(ValueError, match=message):
        raise ValueError(told)
    assert len(outcome) < 1000 and outcome.isprintable()
    assert taken <= MOST, f"{taken >> 20} MB"

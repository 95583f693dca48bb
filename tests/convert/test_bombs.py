"""What asks for more than it may have is refused: in little memory, and without running anything."""

import os

import bombs
import limits
import pytest


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What became of every file, read in one process."""
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
    found = limits.read("convert", paths, folder)
    assert not (folder / "ran").exists()
    return found


@pytest.mark.parametrize(
    ("file", "message"),
    [
        pytest.param(f"{i}{suffix}", message, id=f"{suffix} {name}")
        for suffix, files in bombs.FORMATS.items()
        for i, (name, (_, message)) in enumerate(files.items())
    ],
)
def test_a_file_that_asks_for_too_much_is_refused(outcomes, file, message):
    limits.assert_refused(outcomes[file], message)

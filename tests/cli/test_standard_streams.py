"""stdout and stderr: terminals, pipes that nobody reads, full disks, closed ones."""

import json
import os
import re
import struct
import subprocess
import sys

import pytest
from folders import names, picture
from PIL import Image

pytestmark = pytest.mark.usefixtures("folder")


def test_progress_is_for_terminals_only(model_file, folder):
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    picture("a.png")

    def stderr(*options):
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = [sys.executable, "-m", "fsrcnn_rt", "-m", str(model_file), "--overwrite", "a.png", *options]
        subprocess.run(command, stderr=theirs, check=True)
        os.write(theirs, b"end")  # a read would wait for ever where there is nothing
        os.close(theirs)
        shown = b""
        while not shown.endswith(b"end"):
            shown += os.read(ours, 10000)
        os.close(ours)
        return shown

    assert re.search(rb"1/1 \[[0-9:]+<[0-9:]+, .*(image/s|s/image)\]", stderr())  # time gone and left, rate
    assert stderr("-q") == b"end"
    picture("a.png", size=(1100, 1000))
    parts = {int(part) for part in re.findall(rb"([0-9]+)%\|", stderr("-s", "4"))}
    assert len(parts) > 2  # within one picture


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["info"],
        ["completion", "bash"],
        ["bench", "--input-size", "8x8", "--seconds", "0", "--threads", "1"],
        ["bench", "--input-size", "8x8", "--seconds", "0", "--threads", "1", "--json"],
        ["--json", "missing.png"],
    ],
    ids=lambda arguments: " ".join(arguments[:1] + arguments[-1:]),
)
@pytest.mark.parametrize("buffered", [True, False])
def test_nobody_reads_what_is_printed(folder, arguments, buffered):
    """As ``| head -0``: no traceback, and the exit code of what the signal SIGPIPE ends."""
    ours, theirs = os.pipe()
    os.close(ours)
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    command = [sys.executable, "-m", "fsrcnn_rt", *arguments]
    result = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(theirs)
    assert result.returncode == 141
    missing = "fsrcnn-rt: missing.png: cannot be read: No such file or directory\n"
    assert result.stderr == (missing if "missing.png" in arguments else "")


def test_nobody_reads_the_errors(folder):
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "fsrcnn_rt", "missing.png"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    assert (result.returncode, result.stdout) == (141, b"")


def test_a_reader_of_the_first_line_alone(model_file, folder):
    """What was begun is finished, and nothing is half-written."""
    for i in range(150):
        picture(f"{i:03}.png", size=(120, 90))
    command = [sys.executable, "-m", "fsrcnn_rt", "-m", str(model_file), ".", "-o", "large", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert json.loads(process.stdout.readline())["status"] == "done"
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (141, "")
    made = names(folder / "large")
    assert 1 <= len(made) < 150
    for name in made:
        with Image.open(folder / "large" / name) as image:
            image.load()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize("arguments", [["info"], ["--json", "a.png"]], ids=" ".join)
def test_what_is_printed_finds_no_room(model_file, folder, arguments):
    picture("a.png")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        result = subprocess.run(
            [sys.executable, "-m", "fsrcnn_rt", *arguments], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (result.returncode, result.stderr) == (1, "fsrcnn-rt: cannot write: No space left on device\n")


@pytest.mark.parametrize("arguments", [["info"], ["--json", "a.png", "--overwrite"], ["bench", "--json"]])
def test_stdout_that_is_closed(model_file, folder, arguments):
    picture("a.png")
    options = ["--input-size", "8x8", "--seconds", "0"] if arguments[0] == "bench" else []
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "fsrcnn_rt", *arguments, *options]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_names_that_stdout_has_no_letters_for():
    """As where Windows writes to a pipe by the code page of Western Europe."""
    code = "from fsrcnn_rt.cli import process; process.main = lambda: print('größe 写真'); process.command()"
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.split() == ["größe".encode("cp1252"), rb"\u5199\u771f"]

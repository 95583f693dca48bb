"""SIGINT, SIGTERM and SIGHUP end the command at once, whatever it does, and leave nothing half-written."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import signals
from folders import names, picture
from PIL import Image
from signals import CODES, INTERRUPTED, ended, started

pytestmark = pytest.mark.usefixtures("folder")

HEADER, FRAME = b"YUV4MPEG2 W64 H48 F25:1\n", b"FRAME\n" + bytes(64 * 48 * 3 // 2)


def temporaries(folder):
    return [path for path in folder.iterdir() if ".fsrcnn-rt." in path.name]


def at_work(model_file, folder, **options):
    """The command with frames behind it and nothing to read: its output is half-written."""
    command = [sys.executable, "-m", "fsrcnn_rt", "-m", str(model_file), "-", "-o", "out.y4m", "--overwrite"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, **pipes, **options)
    process.stdin.write(HEADER + 10 * FRAME)
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in temporaries(folder)):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    return process


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_while_it_works(model_file, folder, number):
    (folder / "out.y4m").write_bytes(b"precious")
    with at_work(model_file, folder) as process:
        process.send_signal(number)
        assert process.stderr.read() == INTERRUPTED
    assert process.returncode == CODES[number]
    assert {name: (folder / name).read_bytes() for name in names(folder)} == {"out.y4m": b"precious"}


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize(
    "module", [b"numpy", b"fsrcnn_rt._core", b"fsrcnn_rt.pictures.batch"], ids=bytes.decode
)
def test_while_it_imports(model_file, folder, number, module):
    """The moment is told by -X importtime; numpy catches errors of its own imports, and tells others then."""
    picture("a.png")
    process = started(["a.png", "-m", str(model_file)], folder, module)
    process.send_signal(number)
    assert ended(process) == (CODES[number], INTERRUPTED)
    assert names(folder) == ["a.png"]


def test_the_installed_command_imports_little_before_it_handles_signals():
    code = "import sys; from fsrcnn_rt.cli import command; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "fsrcnn_rt.cli.process" in loaded.split()
    assert not {"numpy", "argparse", "pathlib", "fsrcnn_rt._core", "fsrcnn_rt.files"} & set(loaded.split())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_the_summary_of_a_batch_is_printed(model_file, folder, number):
    samples = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    for i in range(30):
        Image.fromarray(samples).save(folder / f"{i:02}.png", compress_level=0)
    command = [sys.executable, "-m", "fsrcnn_rt", "-m", str(model_file), ".", "--json", "-s", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert json.loads(process.stdout.readline())["status"] == "done"
        process.send_signal(number)
        out, error = process.communicate()
    assert process.returncode == CODES[number]
    assert error.encode().endswith(INTERRUPTED)
    assert 0 < json.loads(out.splitlines()[-1])["done"] < 30
    assert not temporaries(folder)


def test_within_the_lines_that_make_a_temporary(model_file, folder):
    """Where the main thread holds the lock by which temporaries are discarded."""
    (folder / "a.y4m").write_bytes(HEADER + FRAME)
    code = """
import os, signal
from fsrcnn_rt.cli import command
make = os.open
def interrupted(name, *arguments):
    made = make(name, *arguments)
    if str(name).endswith(".tmp"):
        os.kill(os.getpid(), signal.SIGTERM)
    return made
os.open = interrupted
command()
"""
    arguments = [sys.executable, "-c", code, "-m", str(model_file), "a.y4m"]
    result = subprocess.run(arguments, stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (143, INTERRUPTED)
    assert names(folder) == ["a.y4m"]


def test_while_the_module_of_temporaries_is_imported():
    code = """
import os, signal, sys, types
from fsrcnn_rt.cli import process
sys.modules["fsrcnn_rt.files"] = types.ModuleType("fsrcnn_rt.files")
process.main = lambda: os.kill(os.getpid(), signal.SIGTERM)
process.command()
"""
    result = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (143, INTERRUPTED)


@pytest.mark.parametrize("where", ["in a destructor", "in C"])
def test_an_exception_that_comes_to_nothing(folder, where):
    """It is swallowed in a destructor, and a call into C does not end for it: the end comes all the same."""
    code = f"""
import os, signal, time
from fsrcnn_rt.cli import dispatch, process
class Swallows:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
def main(argv):
    with process.last_words():
        if {where == "in C"}:
            try: os.kill(os.getpid(), signal.SIGTERM)
            finally: time.sleep(600)
        Swallows()
        time.sleep(600)
dispatch.main = main
process.command()
"""
    result = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (143, INTERRUPTED)


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_signal_that_is_ignored_stays_so(model_file, folder, number):
    """As nohup has it, and shells for what runs in the background."""
    with at_work(model_file, folder, preexec_fn=lambda: signal.signal(number, signal.SIG_IGN)) as process:
        process.send_signal(number)
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert Path("out.y4m").stat().st_size == len("YUV4MPEG2 W128 H96 F25:1\n") + 10 * (6 + 128 * 96 * 3 // 2)


def test_the_terminal_is_gone(model_file, folder):
    """Nothing can be told then, and the rest is as ever."""
    with at_work(model_file, folder) as process:
        process.stderr.close()
        process.stdout.close()
        process.send_signal(signal.SIGHUP)
        assert process.wait() == 129
    assert names(folder) == []


def test_random_moments(model_file):
    seen = signals.strike_all(3, os.getpid(), model_file)
    assert sum(seen.values()) == 3


@pytest.mark.parametrize(("event", "code"), [(0, 130), (1, 138), (2, 138)])
def test_what_a_console_of_windows_tells(event, code):
    """Ctrl-C and Ctrl-Break end a process whose main thread waits for a lock, and a closed window at once.

    No signal comes here: what is told comes first, in a thread of its own.
    """
    code_of = f"""
import ctypes, signal, threading
from types import SimpleNamespace
signal.SIGBREAK = signal.SIGUSR1
told = []
kernel32 = SimpleNamespace(SetConsoleCtrlHandler=lambda handler, add: told.append((handler, add)))
ctypes.windll = SimpleNamespace(kernel32=kernel32)
from fsrcnn_rt.cli import process
process._PATIENCE = 0.1 if {event} < 2 else 600
def main():
    (handler, add), = told
    assert add
    threading.Thread(target=handler, args=({event},)).start()
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
process.main = main
process.command()
"""
    result = subprocess.run([sys.executable, "-c", code_of], stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (code, INTERRUPTED)


def test_a_console_whose_signals_are_ignored():
    code = """
import ctypes, signal
from types import SimpleNamespace
signal.SIGBREAK = signal.SIGUSR1
for number in (signal.SIGINT, signal.SIGBREAK):
    signal.signal(number, signal.SIG_IGN)
told = []
kernel32 = SimpleNamespace(SetConsoleCtrlHandler=lambda handler, add: told.append(handler))
ctypes.windll = SimpleNamespace(kernel32=kernel32)
from fsrcnn_rt.cli import process
process._PATIENCE = 0
process.main = lambda: [told[0](event) for event in (0, 1, 2)] != [0, 0, 0]
process.command()
"""
    result = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (0, b"")

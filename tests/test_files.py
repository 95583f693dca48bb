"""Files that appear whole or not at all, and what a process that was killed leaves of them."""

import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from folders import names
from fsrcnn_rt import files
from fsrcnn_rt.errors import UsageError
from fsrcnn_rt.files import atomic_path, atomic_write

pytestmark = pytest.mark.usefixtures("folder")

# Begins a file, says so, and waits.
BEGIN = """
import sys
from pathlib import Path
from fsrcnn_rt.files import atomic_write
with atomic_write(Path("a.png")) as file:
    file.write(b"half")
    file.flush()
    print("begun", flush=True)
    sys.stdin.readline()
"""


_OPEN_IS_DELETED = pytest.mark.skipif(os.name == "nt", reason="Windows deletes nothing that is open")


@pytest.fixture(autouse=True)
def _as_a_new_process(monkeypatch):
    monkeypatch.setattr(files, "_swept", set())


def begin():
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    return process


def write(name, text=b"whole"):
    with atomic_write(Path(name)) as file:
        file.write(text)


def test_what_a_killed_process_left_is_deleted_by_the_next(folder):
    with begin() as process:
        process.kill()
    (left,) = folder.iterdir()
    os.utime(left, (0, 0))  # it is a minute old, which Windows asks for
    write("b.png")
    assert names(folder) == ["b.png"]


def test_what_a_running_process_has_is_left_alone(folder):
    with begin() as process:
        write("b.png")
        assert len(names(folder)) == 2
        process.stdin.close()
    assert process.returncode == 0
    assert names(folder) == ["a.png", "b.png"]
    assert Path("a.png").read_bytes() == b"half"


def test_what_this_process_has_is_left_alone(folder):
    with atomic_write(Path("a.png")), atomic_path(Path("b.mkv"), ".mkv") as path:
        assert path.name.startswith(".b.mkv.") and path.suffix == ".mkv" and path.stat().st_size == 0
        files._swept.clear()
        write("c.png")
    assert names(folder) == ["a.png", "b.mkv", "c.png"]


def test_many_processes_in_one_folder(folder):
    """Each takes all for left that it sees, all the time."""
    code = """
import sys
from pathlib import Path
from threading import Thread
from fsrcnn_rt import files
def write(name):
    for _ in range(100):
        files._swept.clear()
        with files.atomic_write(Path(name)) as file:
            file.write(name.encode())
        assert Path(name).read_bytes() == name.encode()
threads = [Thread(target=write, args=[sys.argv[1] + str(i)]) for i in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code, name], stderr=subprocess.PIPE) for name in "abcd"
    ]
    for process in processes:
        assert process.communicate()[1] == b""
    assert names(folder) == sorted(f"{name}{i}" for name in "abcd" for i in range(2))


def test_a_temporary_that_is_swept_before_it_is_locked(folder, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    lock, times = fcntl.flock, []

    def late(descriptor, how):
        if not times:
            (path,) = folder.iterdir()
            path.unlink()
        times.append(how)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    write("a")
    assert len(times) == 2
    assert names(folder) == ["a"]


def test_a_file_system_without_locks(folder, monkeypatch):
    """Nothing tells there who is running, so what is left stays."""
    fcntl = pytest.importorskip("fcntl")
    with begin() as process:
        process.kill()

    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    write("b.png")
    assert len(names(folder)) == 2
    assert Path("b.png").read_bytes() == b"whole"


def test_a_system_without_such_locks(folder, monkeypatch):
    """Windows refuses to delete what is open, which tells as much."""
    with begin() as process:
        process.kill()
    (left,) = folder.iterdir()
    unlink, refused = Path.unlink, [True]

    def in_use(path, missing_ok=False):
        if path == left and refused:
            raise PermissionError(errno.EACCES, "in use", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(Path, "unlink", in_use)
    left = Path(left.name)  # as it is named from here
    os.utime(left, (0, 0))
    write("b.png")
    assert len(names(folder)) == 2
    refused.clear()
    files._swept.clear()
    write("b.png")
    assert names(folder) == ["b.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_nothing_else_is_deleted(folder):
    """Neither files that are named alike, nor what is no file."""
    for name in (".a.12345678.tmp", ".a.1234567g.fsrcnn-rt.tmp", "a.12345678.fsrcnn-rt.tmp"):
        Path(name).write_bytes(b"precious")
    Path("precious").write_bytes(b"precious")
    Path(".b.12345678.fsrcnn-rt.tmp").symlink_to("precious")
    os.mkfifo(".c.12345678.fsrcnn-rt.tmp")
    Path(".d.12345678.fsrcnn-rt.tmp").mkdir()
    before = sorted(os.listdir())  # noqa: PTH208
    write("new")
    assert sorted(os.listdir()) == sorted([*before, "new"])  # noqa: PTH208


@pytest.mark.skipif(os.name == "nt", reason="names are no bytes on Windows, and have no ends of lines")
@pytest.mark.parametrize("name", ["n" * 255, "🐈" * 63, "\udcff" * 255, "a\nb"], ids=ascii)
def test_any_name_that_a_file_system_takes(folder, name):
    write(name)
    assert names(folder) == [name]


@_OPEN_IS_DELETED
def test_a_temporary_that_is_swept_with_its_folder(folder, monkeypatch):
    """What is closed is closed once: by then its number may be that of another file."""
    monkeypatch.setattr(files, "_locked", lambda descriptor, path: shutil.rmtree(path.parent))
    Path("out").mkdir()
    with pytest.raises(FileNotFoundError) as caught, atomic_path(Path("out/a.png")):
        raise AssertionError
    assert caught.value.filename == "out/a.png"
    assert not files._temporaries


@_OPEN_IS_DELETED
def test_the_folder_is_removed_meanwhile(folder):
    (folder / "out").mkdir()
    with pytest.raises(FileNotFoundError) as caught, atomic_write(Path("out/a")):
        shutil.rmtree("out")
    assert caught.value.filename == "out/a"
    assert not files._temporaries


@pytest.mark.parametrize("name", ["missing/a.png", "n" * 256], ids=len)
def test_an_error_names_the_file(folder, name):
    with pytest.raises(OSError) as caught:
        write(name)
    assert caught.value.filename == str(Path(name))
    assert names(folder) == []
    assert not files._temporaries


def test_what_is_about_to_be_renamed_where_nothing_open_is(folder, monkeypatch):
    """It is closed by then, and may not be taken for what a process has left a minute ago."""
    monkeypatch.setattr(files, "fcntl", None)
    with atomic_path(Path("a.mkv")) as temporary:
        files._swept.clear()
        write("b.png")
        assert temporary.exists()
    assert names(folder) == ["a.mkv", "b.png"]


@pytest.mark.parametrize(
    "name",
    ["con.png", "NUL", "Com1.tar.gz", "aux .x", "lpt²", "a|b.png", 'a"', "b?/a.png", "a.", "a ", "a\tb"],
)
def test_names_that_windows_takes_for_something_else(monkeypatch, name):
    monkeypatch.setattr(files, "_ON_WINDOWS", True)
    with pytest.raises(UsageError, match="on Windows") as caught:
        files.is_there(Path(name))
    assert str(caught.value).startswith(f"{Path(name)}: ")


@pytest.mark.parametrize("name", ["console.png", "com10.png", ".con", "../a b.png", "a.con", "größe.png"])
def test_names_that_are_like_them(monkeypatch, name):
    monkeypatch.setattr(files, "_ON_WINDOWS", True)
    assert not files.is_there(Path(name))


@pytest.mark.parametrize("content", ["file", "2024.12", "nothing", "no folder"])
def test_folders_that_ignore_case(folder, monkeypatch, content):
    """The question is put to a name in the folder, to its own where there is none, or to one above."""
    out = folder / "out"
    if content != "no folder":
        out.mkdir()
    if content in ("file", "2024.12"):
        (out / content).touch()
    other = "2024.12" if content == "2024.12" else "1"
    if os.name != "nt":  # which is one itself
        assert not files.ignores_case(str(out))
        assert not files.ignores_case(str(out / other))
    monkeypatch.setattr(os.path, "samefile", lambda one, other: one.lower() == other.lower())
    assert files.ignores_case(str(out))
    assert files.ignores_case(str(out / other))


@pytest.mark.parametrize("on_linux", [files._ON_LINUX, False])
def test_what_a_stream_holds_is_there_within_the_block(monkeypatch, on_linux):
    """Elsewhere it has a name, by which it is discarded where a signal ends the process."""
    monkeypatch.setattr(files, "_ON_LINUX", on_linux)
    with files.copied(io.BytesIO(b"whole")) as path:
        assert [path.read_bytes(), path.read_bytes()] == [b"whole", b"whole"]
        assert (path in files._temporaries) is not on_linux
    assert not path.exists()
    assert not files._temporaries

"""What a picture may take: refused before it is decoded, or decoded a frame at a time."""

import ctypes
import errno
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fsrcnn_rt import Upscaler, pictures
from fsrcnn_rt.pictures import batch, budget
from fsrcnn_rt.pictures.batch import Job
from fsrcnn_rt.pictures.encoding import WriteOptions
from PIL import Image, features

pytestmark = pytest.mark.usefixtures("folder")

# Runs the command for each of several lists of arguments, in one process, and prints for each the exit code
# and the peak of memory above what was there before; all but the first, which loads what is to be loaded.
_MEASURE = """
import json, pathlib, re, sys
from fsrcnn_rt import cli

def status(key):
    text = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"^{key}:\\s+(\\d+) kB", text, re.MULTILINE)[1]) << 10

first, *others = json.loads(sys.argv[1])
cli.main(first)
for arguments in others:
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    code = cli.main(arguments)
    print(code, status("VmHWM") - before)
"""

_LINUX = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux counts peaks of memory")
_AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def measured(model_file, *calls):
    """Exit codes and peaks of memory, in bytes, of calls of the command but the first; and all errors."""
    arguments = [["-m", str(model_file), "-j", "1", "--overwrite", *map(str, call)] for call in calls]
    command = [sys.executable, "-c", _MEASURE, json.dumps(arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [tuple(map(int, line.split())) for line in result.stdout.splitlines()]
    return lines, result.stderr.splitlines()


def gif(width, height, frames):
    """A GIF whose frames are a pixel each, on a canvas of any size."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = (
        b"\x21\xf9\x04\x00\x01\x00\x00\x00," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    )
    return head + frames * frame + b";"


def tiff(width, height, compression):
    """A TIFF of one strip that is all but missing."""
    tags = [(256, width), (257, height), (258, 8), (259, compression), (262, 1), (273, 200), (277, 1)]
    tags += [(278, height), (279, 100)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return data.ljust(200, b"\0") + bytes(118)


def png(width, height, frames=None):
    """A PNG of RGB without pixels; of an animation, with the number of frames that it claims."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    control = chunk(b"acTL", struct.pack(">II", frames, 0)) if frames else b""
    return (
        b"\x89PNG\r\n\x1a\n" + head + control + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")
    )


def qoi(width, height):
    """A QOI of one colour, whole."""
    runs = b"\xfd" * -(-width * height // 62)
    return b"qoif" + struct.pack(">IIBB", width, height, 3, 0) + runs + bytes(7) + b"\x01"


def im(pages):
    """An IM of one page of 16x12, with the number of pages that it claims."""
    head = f"Image type: RGB image\r\nImage size (x*y): 16*12\r\nFile size (no of images): {pages}\r\n"
    return head.encode().ljust(511, b"\0") + b"\x1a" + bytes(3 * 16 * 12)


def jpeg_xl(width, height):
    """The header of a JPEG XL."""
    bits = 3 << 1 | (height - 1) << 3 | 3 << 36 | (width - 1) << 38
    return b"\xff\x0a" + bits.to_bytes(64, "little")


# Refused by the header: content, arguments, and the error.
REFUSED = {
    "canvas.gif": (gif(65535, 8000, 1), [], "cannot become|GIF holds up to 65535 pixels a side"),
    "frames.gif": (gif(5000, 5000, 500), [], "has 500 frames of up to 5000x5000, 12500000000 pixels in all"),
    "claim.png": (png(4000, 4000, 1 << 30), [], "has 1073741825 frames of up to 4000x4000"),
    "wide.png": (png(40000, 40000), [], "has more than the 1073741824 pixels that are read"),
    "run.qoi": (qoi(20000, 20000), ["--max-pixels", "399999999"], "has .* 399999999 (pixels that )?are read"),
    "strip.tiff": (tiff(15000, 15000, 1), [], "318 bytes cannot hold 15000x15000 pixels"),
    "lzw.tiff": (tiff(15000, 15000, 5), [], "318 bytes cannot hold 15000x15000 pixels"),
    "deflate.tiff": (tiff(15000, 15000, 8), [], "318 bytes cannot hold 15000x15000 pixels"),
    "jpeg.tiff": (tiff(15000, 15000, 7), [], "318 bytes cannot hold 15000x15000 pixels"),
    "pages.im": (im(1 << 62), [], f"1088 bytes cannot hold {1 << 62} pages"),
    "large.jxl": (jpeg_xl(30000, 40000), [], "has 30000x40000, 1200000000 pixels, and 1073741824 are read"),
}


@_LINUX
def test_what_is_refused_takes_no_memory(model_file, folder):
    calls = []
    for name, (data, arguments, _) in REFUSED.items():
        (folder / name).write_bytes(data)
        calls.append([name, "-o", f"out{Path(name).suffix}".replace("jxl", "png"), *arguments])
    figures, (_, *lines) = measured(model_file, calls[0], *calls)
    for name, (code, peak), line in zip(REFUSED, figures, lines, strict=True):
        assert code == 1
        assert peak < 100 << 20, f"{name} took {peak >> 20} MB"
        assert name in line


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(run_silent, folder, name):
    data, arguments, message = REFUSED[name]
    (folder / name).write_bytes(data)
    code, lines = run_silent(name, "-o", f"out{Path(name).suffix}".replace("jxl", "png"), *arguments)
    assert (code, len(lines)) == (1, 1)
    assert re.search(message, lines[0])
    assert {path.name for path in folder.iterdir()} == {name}


def moving(count, size=200):
    """Frames with a box that moves."""
    frames = []
    for i in range(count):
        frame = Image.new("RGB", (size, size), "navy")
        frame.paste("gold", (2 * i, 2 * i, 2 * i + 60, 2 * i + 60))
        frames.append(frame)
    return frames


def save(name, frames, **options):
    frames[0].save(name, save_all=True, append_images=frames[1:], **options)


@_LINUX
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("gif", "gif"),
        ("webp", "png"),
        ("png", "webp"),
        pytest.param("avif", "gif", marks=_AVIF),
        ("tiff", "tiff"),
        ("tiff", "pdf"),
    ],
)
def test_an_animation_takes_the_memory_of_a_few_frames(model_file, folder, source, target):
    counts = (2, 18, 44)  # WebP's encoder looks 17 ahead
    options = {"tiff": {}, "avif": {"duration": 50, "speed": 10}}.get(source, {"duration": 50})
    for count in counts:
        save(f"{count}.{source}", moving(count), **options)
    calls = [[f"{count}.{source}", "-s", "2", "-f", target, "-o", f"large.{target}"] for count in counts]
    figures, errors = measured(model_file, *calls)
    assert errors == []
    (_, few), (_, many) = figures
    of_a_frame = 4 * 400 * 400
    assert many < few + 8 * of_a_frame, f"18 frames took {few >> 20} MB, and 44 took {many >> 20} MB"


def test_the_pages_of_a_file_count_together(run_silent):
    pages = [Image.new("L", size) for size in ((10, 10), (40, 30), (20, 20))]
    save("a.tiff", pages)
    code, lines = run_silent("a.tiff", "--max-pixels", "1699")
    assert code == 1
    assert lines[0].endswith(
        "a.tiff: has 3 frames of up to 40x30, 1700 pixels in all, and 1699 are read (see --max-pixels)"
    )
    assert run_silent("a.tiff", "--max-pixels", "1700") == (0, [])
    assert run_silent("a.tiff", "--max-pixels", "100", "--first-frame", "--overwrite") == (0, [])


@pytest.mark.parametrize("most", ["0", "-1", "1e9", "many"])
def test_no_number_of_pixels(run_silent, most):
    Image.new("L", (4, 3)).save("a.png")
    code, lines = run_silent("a.png", f"--max-pixels={most}")
    assert code == 2
    assert f"'{most}' is not a number of pixels" in lines[0]


def test_a_canvas_that_grows(run_silent, folder):
    """A frame beyond the canvas makes it larger, as viewers have it; not beyond what was accepted."""
    data = bytearray(gif(10, 10, 2))
    at = data.rindex(b",")
    data[at + 1 : at + 9] = struct.pack("<HHHH", 0, 0, 60, 50)
    (folder / "a.gif").write_bytes(data)
    code, lines = run_silent("a.gif")
    assert code == 1
    assert "frame 2 has 60x50, and the first 10x10" in lines[0]


def test_results_that_the_machine_has_no_memory_for(run_silent, folder, monkeypatch):
    Image.new("RGB", (3000, 2000)).save("a.png")
    monkeypatch.setattr(batch, "_MEMORY", 1 << 20)
    monkeypatch.setattr(batch, "available", lambda: 700_000_000)
    code, lines = run_silent("a.png", "-s", "4")
    assert code == 1
    assert "a.png: takes 0.7 GB of memory to become 12000x8000, and 0.7 are free" in lines[0]
    monkeypatch.setattr(batch, "available", lambda: 720_000_000)
    monkeypatch.setattr(pictures, "read", lambda path, *, admit, **options: admit(HEADER) or STILL)
    assert run_silent("a.png", "-s", "4") == (0, [])


HEADER = pictures.Header("RGB", (3000, 2000), 1, 6_000_000)
STILL = pictures.Picture([Image.new("RGB", (3, 2))], {})


def test_sources_wait_for_memory(model, folder, monkeypatch):
    """No picture is decoded before there is memory for it; here, before the one before is written."""
    jobs = []
    for i in range(6):
        Image.new("RGB", (12, 9)).save(f"{i}.png")
        jobs.append(Job(folder / f"{i}.png", {2: folder / f"{i}_x2.png"}))
    done = []

    def told(name):
        original = getattr(pictures, name)

        def call(*arguments, **options):
            result = original(*arguments, **options)
            done.append(name)
            return result

        monkeypatch.setattr(pictures, name, call)

    told("read")
    told("write")
    monkeypatch.setattr(batch, "_MEMORY", 1)  # less than any picture
    monkeypatch.setattr(batch, "available", lambda: 1 << 40)
    outcomes = list(batch.run(jobs, Upscaler(model, threads=1), batch.Workers(4, 1, 4), WriteOptions()))
    assert [outcome.error for outcome in outcomes] == 6 * [None]
    assert done == 6 * ["read", "write"]


def test_a_file_that_changes_while_it_is_read(folder, model):
    save("a.gif", moving(3, size=20), duration=40)
    picture = pictures.read(folder / "a.gif")
    save("a.gif", moving(3, size=30), duration=40)
    large = pictures.upscale(picture, Upscaler(model, threads=1), [2])[2]
    with pytest.raises(OSError, match="frame 1 has 30x30, and the first 20x20"):
        pictures.write(large, folder / "b.gif")
    assert not (folder / "b.gif").exists()


def test_frames_are_made_whenever_they_are_asked_for(folder):
    save("a.gif", moving(3, size=20), duration=40)
    frames = pictures.read(folder / "a.gif").frames
    assert len(frames) == 3
    first, last = (np.asarray(frames[i].convert("RGB")) for i in (0, -1))
    np.testing.assert_array_equal(first, np.asarray(moving(1, size=20)[0]))
    np.testing.assert_array_equal(last, np.asarray(moving(3, size=20)[2]))
    with pytest.raises(IndexError):
        frames[3]


def test_memory_where_windows_is_asked(monkeypatch):
    class Kernel32:
        told = 1

        def GlobalMemoryStatusEx(self, reference):  # noqa: N802
            status = reference._obj
            assert status.length == ctypes.sizeof(status) == 64
            status.left = 5 << 20
            return self.told

    kernel32 = Kernel32()
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel32), raising=False)
    assert budget.available() == 5 << 20
    kernel32.told = 0
    assert budget.available() > 5 << 20


def test_memory_where_there_is_no_proc(monkeypatch):
    """macOS tells what it has, and Windows has no sysconf."""

    def missing(path):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 16384}.__getitem__)
    assert budget.available() == 1000 * 16384
    monkeypatch.delattr(os, "sysconf")
    assert budget.available() == 1 << 62

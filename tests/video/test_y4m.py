"""Y4M streams, in this process and through pipes; none of it takes another package."""

import io
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import fsrcnn_rt
import numpy as np
import pytest
from fsrcnn_rt import ScaleError, Upscaler, cli
from fsrcnn_rt.model import save_model
from fsrcnn_rt.video.y4m import TruncatedError, Y4MError, upscale_y4m
from numpy.testing import assert_array_equal

# tag: bits, subsampling, siting; no subsampling for grey
TAGS = {
    "": (8, (2, 2), "center"),
    "420": (8, (2, 2), "center"),
    "420jpeg": (8, (2, 2), "center"),
    "420mpeg2": (8, (2, 2), "left"),
    "420paldv": (8, (2, 2), "topleft"),
    "420p10": (10, (2, 2), "left"),
    "420p12": (12, (2, 2), "left"),
    "422": (8, (2, 1), "left"),
    "422p10": (10, (2, 1), "left"),
    "411": (8, (4, 1), "left"),
    "444": (8, (1, 1), "left"),
    "444p10": (10, (1, 1), "left"),
    "444p12": (12, (1, 1), "left"),
    "444alpha": (8, (1, 1), "left"),
    "mono": (8, None, "left"),
    "mono10": (10, None, "left"),
    "mono12": (12, None, "left"),
    "mono16": (16, None, "left"),
}
SIZE = (13, 9)  # width and height, odd on purpose


def planes_of(rng, tag, size):
    bits, subsampling, _ = TAGS[tag]
    width, height = size
    shapes = [(height, width)]
    if subsampling:
        x, y = subsampling
        shapes += [(-(-height // y), -(-width // x))] * 2
    if tag == "444alpha":
        shapes.append((height, width))
    return [rng.integers(0, 2**bits, shape).astype("u1" if bits == 8 else "<u2") for shape in shapes]


def frames_of(tag="420jpeg", size=SIZE, count=3):
    rng = np.random.default_rng(7)
    return [planes_of(rng, tag, size) for _ in range(count)]


def stream(frames, tag="420jpeg", size=SIZE, extra=b" F24:1 Ip A1:1", parameters=b""):
    chroma = b" C" + tag.encode() if tag else b""
    line = b"YUV4MPEG2 W%d H%d%b%b\n" % (*size, extra, chroma)
    bodies = (b"".join(plane.tobytes() for plane in planes) for planes in frames)
    return line + b"".join(b"FRAME" + parameters + b"\n" + body for body in bodies)


def upscaled(frames, model, scale, tag="420jpeg"):
    bits, subsampling, siting = TAGS[tag]
    layout = {"bits": bits, "subsampling": subsampling or (2, 2), "chroma_location": siting}
    upscaler = Upscaler(model, threads=1)
    return [upscaler.upscale_planes(planes, scale, **layout) for planes in frames]


def expected(frames, model, scale, tag="420jpeg", size=SIZE, **options):
    larger = (scale * size[0], scale * size[1])
    return stream(upscaled(frames, model, scale, tag), tag, larger, **options)


def convert(data, model, scale=2, **options):
    sink = io.BytesIO()
    done = upscale_y4m(io.BytesIO(data), sink, scale, model=model, threads=2, **options)
    return sink.getvalue(), done


@pytest.mark.parametrize("tag", TAGS)
def test_every_kind_of_chroma(model, tag):
    frames = frames_of(tag)
    for scale in (2, 3):
        result, done = convert(stream(frames, tag), model, scale)
        assert result == expected(frames, model, scale, tag)
        assert done.frames == 3


def test_parameters_pass_through(model):
    frames = frames_of()
    extra = b" XYSCSS=420JPEG F30000:1001 I? A10:11 XCOLORRANGE=LIMITED XW99 Xsome=thing"
    options = {"extra": extra, "parameters": b" Ip XQ=3"}
    result, done = convert(stream(frames, **options), model)
    assert result == expected(frames, model, 2, **options)
    assert done.seconds == pytest.approx(3 * 1001 / 30000)


def test_no_rate_no_time(model):
    for extra in (b"", b" F0:0", b" F25:0", b" F0:1", b" Fx", b" F1:1" + b"0" * 400):
        assert convert(stream(frames_of(), extra=extra), model)[1].seconds == 0


def test_a_stream_of_no_frames(model):
    assert convert(stream([]), model)[0] == stream([], size=(26, 18))


HEADER = b"YUV4MPEG2 W8 H8 F25:1"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"RIFF\0\0\0\0AVI LIST and more", "does not begin with YUV4MPEG2"),
        (b"\0" * 10000, "has a line of 4096 bytes or more"),
        (b"YUV4MPEG2 W8 F25:1\n", "has no size: W is '8' and H is ''"),
        (b"YUV4MPEG2 W0 H8\n", "has no size: W is '0'"),
        (b"YUV4MPEG2 W-8 H8\n", "has no size: W is '-8'"),
        (HEADER + b" It\n", "is interlaced (It)"),
        (HEADER + b" Ib\n", "is interlaced (Ib)"),
        (HEADER + b" Im\n", "is interlaced (Im)"),
        (
            HEADER + b" C410\n",
            "has the chroma C410, which is none of 420, 420jpeg, 420paldv, 420mpeg2, 420p9,",
        ),
        (HEADER + b" C444beta\n", "has the chroma C444beta"),
        (HEADER + b" C" + b"4" * 3000 + b"\n", f"has the chroma C{'4' * 40}..., which"),
        (b"YUV4MPEG2 W" + b"9" * 3000 + b" H8\n", f"has no size: W is '{'9' * 40}...' and H is '8'"),
        (b"YUV4MPEG2 W999999999 H999999999\n", "has frames of 999999999x999999999, more than 1073741824"),
        (b"YUV4MPEG2 W32768 H16384\n", "would become frames of 65536x32768, more than 1073741824 pixels"),
    ],
)
def test_refusals_before_anything_is_written(model, data, words):
    sink = io.BytesIO()
    with pytest.raises(Y4MError) as caught:
        upscale_y4m(io.BytesIO(data), sink, 2, model=model)
    assert words in str(caught.value)
    assert sink.getvalue() == b""
    with pytest.raises(ScaleError, match="scale=17"):
        upscale_y4m(io.BytesIO(data), sink, 17, model=model)


def test_no_room_for_a_frame_and_nothing_is_written(model, monkeypatch):
    def empty(size, dtype):
        raise MemoryError(f"Unable to allocate {size} bytes")

    monkeypatch.setattr(np, "empty", empty)
    sink = io.BytesIO()
    with pytest.raises(MemoryError):
        upscale_y4m(io.BytesIO(stream([], size=(8000, 6000))), sink, 2, model=model)
    assert sink.getvalue() == b""


@pytest.mark.parametrize("missing", [1, 100, 250, 9 * 13 + 2 * 5 * 7, 9 * 13 + 2 * 5 * 7 + 3])
def test_a_truncated_stream_is_delivered_as_far_as_it_goes(model, missing):
    frames = frames_of(count=4)
    data = stream(frames)
    whole, broken = divmod(missing, len(stream(frames)) - len(stream(frames[:3])))
    assert broken
    sink = io.BytesIO()
    with pytest.raises(TruncatedError, match=f"ends within frame {3 - whole}"):
        upscale_y4m(io.BytesIO(data[:-missing]), sink, 2, model=model)
    assert sink.getvalue() == expected(frames[: 3 - whole], model, 2)


def test_rubbish_between_frames(model):
    frames = frames_of(count=2)
    sink = io.BytesIO()
    with pytest.raises(Y4MError, match="something else where frame 2"):
        upscale_y4m(io.BytesIO(stream(frames) + b"rubbish and more"), sink, 2, model=model)
    assert sink.getvalue() == expected(frames, model, 2)


class Recorder(io.BytesIO):
    """A sink that calls back before it takes a frame."""

    def __init__(self, before_frame):
        super().__init__()
        self._before_frame = before_frame

    def write(self, data):
        if bytes(data[:5]) == b"FRAME":
            self._before_frame()
        return super().write(data)


class Reader(io.BytesIO):
    """A source that counts the frames that have been begun."""

    begun = 0

    def readinto(self, buffer):
        count = super().readinto(buffer)
        self.begun += bytes(buffer[:6]) == b"FRAME\n"
        return count


def test_reading_goes_on_while_a_frame_is_written_but_not_without_bound(model):
    source = Reader(stream(frames_of(count=60)))
    enough, most = threading.Event(), []

    def before_frame():
        most.append(source.begun - len(most))
        if not enough.wait(0.2):
            enough.set()

    upscale_y4m(source, Recorder(before_frame), 2, model=model, threads=2)
    # Held: threads + 2 frames and results, the two read ahead of them, and the one being read or written.
    assert 4 <= max(most) <= 2 + 2 + 2 + 2
    assert len(most) == 60


def test_progress(model):
    seen = []
    convert(stream(frames_of()), model, progress=seen.append)
    assert [(done.frames, done.total, round(done.seconds * 24)) for done in seen] == [
        (1, None, 1),
        (2, None, 2),
        (3, None, 3),
    ]


def test_a_sink_that_takes_little_at_a_time(model):
    """A pipe takes what fits, and says None where that is nothing and it does not block."""

    class Sink:
        def __init__(self):
            self.data, self.calls = b"", 0

        def write(self, data):
            self.calls += 1
            taken = self.calls % 3 * 50
            self.data += bytes(data[:taken])
            return min(taken, len(data)) or None

    frames, sink = frames_of(), Sink()
    upscale_y4m(io.BytesIO(stream(frames)), sink, 2, model=model)
    assert sink.data == expected(frames, model, 2)


def test_a_fault_of_the_sink_ends_it(model):
    def full():
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        upscale_y4m(io.BytesIO(stream(frames_of(count=50))), Recorder(full), 2, model=model)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fsrcnn-rt")]


def test_memory_stays_flat(model_file):
    code = f"""
import io, resource
from fsrcnn_rt.video.y4m import upscale_y4m

class Zeros:
    def __init__(self, frames):
        self.header = io.BytesIO(b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\\n")
        self.frames, self.left, self.line = frames, 0, b""

    def readinto(self, buffer):
        if count := self.header.readinto(buffer):
            return count
        if self.left == 0:
            if not self.frames:
                return 0
            self.frames -= 1
            self.left, self.line = 6 + 64 * 48 * 3 // 2, b"FRAME\\n"
        count = min(len(buffer), self.left)
        buffer[:count] = self.line.ljust(count, b"\\0")[:count]
        self.left -= count
        self.line = self.line[count:]
        return count

class Nowhere:
    def write(self, data):
        return len(data)

def peak(frames):
    done = upscale_y4m(Zeros(frames), Nowhere(), 2, model={str(model_file)!r}, threads=2)
    assert done.frames == frames
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

first = peak(100)
print(peak(2000) - first)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(result.stdout) < 20


# The command


pytestmark = pytest.mark.usefixtures("folder")


def command(model_file, *arguments):
    return [sys.executable, "-m", "fsrcnn_rt", "-m", str(model_file), *arguments]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_pipe(model, model_file):
    frames = frames_of(count=20)
    for arguments in (["-", "-o", "-"], ["video", "-"], ["-", "-s", "3", "-j", "1:2:1"]):
        ours = command(model_file, *arguments)
        if "video" in arguments:  # a subcommand comes first
            ours = [*ours[:3], "video", *ours[3:5], "-"]
        result = subprocess.run(ours, input=stream(frames), capture_output=True)
        assert (result.returncode, result.stderr) == (0, b"")
        assert result.stdout == expected(frames, model, 3 if "3" in arguments else 2)


def test_pipe_gives_frames_before_the_input_ends(model, model_file):
    frames = frames_of(count=20)
    data, want = stream(frames), expected(frames, model, 2)
    with subprocess.Popen(
        command(model_file, "-", "-j", "2"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdin.write(data)
        process.stdin.flush()
        early = len(want) // 2
        assert process.stdout.read(early) == want[:early]
        process.stdin.close()
        assert process.stdout.read() == want[early:]
    assert process.returncode == 0


def test_pipes_hold_more_than_64_kilobytes(model_file):
    fcntl = pytest.importorskip("fcntl")
    most = int(Path("/proc/sys/fs/pipe-max-size").read_text())
    with subprocess.Popen(
        command(model_file, "-", "-o", "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdin.write(stream(frames_of()))
        process.stdin.flush()
        process.stdout.read(1)
        for pipe in (process.stdin, process.stdout):
            assert fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) >= min(1 << 20, most)
        process.stdin.close()
        process.stdout.read()
    assert process.returncode == 0


def test_truncated_pipe(model, model_file):
    frames = frames_of()
    result = subprocess.run(command(model_file, "-"), input=stream(frames)[:-1], capture_output=True)
    assert result.returncode == 1
    assert result.stderr == b"fsrcnn-rt: -: ends within frame 2, counted from 0\n"
    assert result.stdout == expected(frames[:2], model, 2)


def test_not_y4m_on_the_pipe(model_file):
    for data, words in ((b"YUV4MPEG2", []), (b"\x89PNG\r\n\x1a\nmore", ["video"])):  # of a picture it is none
        ours = command(model_file)
        result = subprocess.run([*ours[:3], *words, *ours[3:], "-"], input=data, capture_output=True)
        assert (result.returncode, result.stdout) == (1, b"")
        message = b"has no size" if not words else b"is not a Y4M stream: it does not begin with YUV4MPEG2"
        assert result.stderr.startswith(b"fsrcnn-rt: -: " + message)


@pytest.mark.parametrize("stalled", [False, True])
def test_a_reader_that_goes_away(model_file, stalled):
    """The one behind us ends early; that is told in one line, even if the one before us is silent by then."""
    size = (40, 30)
    data = stream(frames_of(size=size, count=30), size=size)
    assert len(data) < 65536 < 1 << 20 < 8 * 8 * len(data)  # fits a pipe, and the result does not
    with subprocess.Popen(
        command(model_file, "-", "-s", "8"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdin.write(data)
        process.stdin.flush()
        if not stalled:
            process.stdin.close()
        assert process.stdout.read(10) == b"YUV4MPEG2 "
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b"fsrcnn-rt: -: nobody reads the output - any more\n"


def test_a_reader_that_waits_does_not_hold_up_the_exit(model_file):
    """The interpreter closes stdin then, which must not need what the thread has that reads from it."""
    code = """
import atexit, sys
from fsrcnn_rt.cli import command
atexit.register(lambda: sys.stdin.buffer.close())
command()
"""
    ours = [sys.executable, "-c", code, *command(model_file, "-", "-s", "8", "-j", "1")[3:]]
    # With one thread four frames are read before the first is written. 64 times as much fills a pipe.
    data = stream(frames_of(size=(200, 150), count=4), size=(200, 150))
    with subprocess.Popen(
        ours, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdin.write(data)
        process.stdin.flush()
        assert process.stdout.read(20)  # they have been read by now, and the next one is waited for
        process.stdout.close()
        try:
            assert process.wait(60) == 1
        finally:
            process.kill()


def test_interrupted_while_it_waits(model_file):
    data = stream(frames_of())
    with subprocess.Popen(
        command(model_file, "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdin.write(data)
        process.stdin.flush()
        assert process.stdout.read(10) == b"YUV4MPEG2 "
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b"fsrcnn-rt: interrupted\n"


@pytest.mark.parametrize("lacking", ["fcntl", "F_SETPIPE_SZ"])
def test_pipes_where_they_cannot_be_widened(model, model_file, lacking):
    """Windows has no fcntl, and macOS has none of its settings for pipes."""
    change = "sys.modules['fcntl'] = None" if lacking == "fcntl" else "import fcntl; del fcntl.F_SETPIPE_SZ"
    code = f"import sys; {change}; from fsrcnn_rt.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "-m", str(model_file), "-", "-o", "-", "-s", "2", "-q"]
    frames = frames_of()
    result = subprocess.run(command, input=stream(frames), capture_output=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == expected(frames, model, 2)


def test_files(run_silent, folder, model):
    frames = frames_of()
    (folder / "größe.y4m").write_bytes(stream(frames))
    assert run_silent("größe.y4m") == (0, [])
    assert (folder / "größe_x2.y4m").read_bytes() == expected(frames, model, 2)
    code, lines = run_silent("größe.y4m", "größe_x2.y4m", "-s", "3", "-o", "new/", "-v")
    assert code == 0
    assert lines[0].startswith("größe.y4m -> new/größe_x3.y4m (3 frames, ")
    spent = r" x real time, decoding [\d.]+ s, network [\d.]+ s, encoding [\d.]+ s, weights random\)"
    assert re.search(f"{spent}$", lines[0])
    assert names(folder / "new") == ["größe_x2_x3.y4m", "größe_x3.y4m"]
    assert run_silent("-i", "größe.y4m", "-o", "b.y4m", "-s", "3", "--overwrite") == (0, [])
    assert (folder / "b.y4m").read_bytes() == (folder / "new" / "größe_x3.y4m").read_bytes()


def test_names_of_any_alphabet(folder, model):
    name = "größe 写真 🐈"
    Path(f"{name}.y4m").write_bytes(stream(frames_of()))
    save_model(model, f"{name}.safetensors")
    assert cli.main([f"{name}.y4m", "-o", f"{name}_2.y4m", "-m", f"{name}.safetensors"]) == 0
    assert Path(f"{name}_2.y4m").read_bytes() == expected(frames_of(), model, 2)


def test_a_truncated_file_is_delivered_and_reported(run_silent, folder, model):
    frames = frames_of()
    (folder / "a.y4m").write_bytes(stream(frames)[:-1])
    assert run_silent("a.y4m") == (1, ["fsrcnn-rt: a.y4m: ends within frame 2, counted from 0"])
    assert (folder / "a_x2.y4m").read_bytes() == expected(frames[:2], model, 2)
    assert names(folder) == ["a.y4m", "a_x2.y4m"]


def test_no_output_of_a_bad_file_and_the_others_are_done(run_silent, folder):
    (folder / "a.y4m").write_bytes(b"YUV4MPEG2 W8 H8 It\n")
    (folder / "b.y4m").write_bytes(stream(frames_of()))
    code, lines = run_silent("none.y4m", "a.y4m", "b.y4m")
    assert code == 1
    assert lines[0] == "fsrcnn-rt: none.y4m: No such file or directory"
    assert lines[1].startswith("fsrcnn-rt: a.y4m: is interlaced (It)")
    assert names(folder) == ["a.y4m", "b.y4m", "b_x2.y4m"]


def test_a_pipe_is_no_file(run_silent, folder):
    """It may never end, nor even begin; what comes on stdin may."""
    os.mkfifo("a.y4m")
    (folder / "b.y4m").write_bytes(stream(frames_of()))
    assert run_silent("a.y4m", "b.y4m") == (1, ["fsrcnn-rt: a.y4m: Not a regular file"])
    assert names(folder) == ["a.y4m", "b.y4m", "b_x2.y4m"]


def test_files_are_planned_as_pictures_are(model_file, folder, capsys):
    """Folders and their trees, suffixes, and outputs that are there already."""

    def run(*arguments):
        return cli.main(["video", "-m", str(model_file), *arguments]), capsys.readouterr().err

    for name in ("in/a.y4m", "in/deep/b.y4m"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(stream(frames_of()))
    (folder / "in" / "notes.txt").write_text("no video")
    assert run("in", "-r", "-o", "out", "--suffix", "_{model}_{scale}")[0] == 0
    made = ["out/a_random_2.y4m", "out/deep/b_random_2.y4m"]
    assert sorted(str(path.relative_to(folder)) for path in (folder / "out").rglob("*.y4m")) == made
    (folder / made[0]).write_bytes(b"precious")
    (folder / made[1]).unlink()
    command = ["in/*.y4m", "in/deep", "-o", "out", "--suffix", "_{model}_{scale}", "--skip-existing"]
    assert run(*command) == (0, "")
    assert (folder / made[0]).read_bytes() == b"precious"
    assert (folder / "out" / "b_random_2.y4m").read_bytes()[:9] == b"YUV4MPEG2"
    # What is found and is called as an output of another is not made larger again.
    assert run("in", "-s", "3") == (0, "")
    assert run("in", "-s", "4") == (0, "")
    assert names(folder / "in") == ["a.y4m", "a_x3.y4m", "a_x4.y4m", "deep", "notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.y4m", "-s", "17"], "scale=17 is not above 1 and up to 16"),
        (["a.y4m", "-s", "2,3"], "scale='2,3' is several, and of video one at a time is made"),
        (["a.y4m", "-j", "0"], "threads=0 is not between"),
        (["a.y4m", "--isa", "mmx"], "isa='mmx' is not available"),
        (["a.y4m", "-o", "old.y4m"], "old.y4m: exists already (see --overwrite and --skip-existing)"),
        (["a.y4m", "-o", "a.y4m", "--overwrite"], "a.y4m: is an input, and would be overwritten"),
        (["a.y4m", "-o", "no/b.y4m"], "no/b.y4m: the folder no does not exist"),
        (["a.y4m", "-o", "b.png"], "b.png: '.png' is none of .y4m, .mp4"),
        (["a.y4m", "c/../a.y4m"], "is the output of both"),
        (["a.y4m", "photo.png"], "photo.png: is not a video, and pictures take a command of their own"),
        (["a.y4m", "b.y4m", "-o", "-"], "-: is no folder, and several outputs need one"),
        (["a.y4m", "b.y4m", "-o", "old.y4m"], "old.y4m: is a file, and several outputs need a folder"),
        (["-", "-o", "c"], "- has no name that its output could have in a folder"),
        (["-", "-o", "b.mp4"], "- to b.mp4: stdin carries Y4M, and becomes that"),
        (["a.y4m", "--fast"], "unrecognized arguments: --fast"),
        (["a.y4m", "--crf", "20"], "--crf is for video files other than Y4M"),
        (["a.y4m", "--crf", "0"], "--crf is for video files other than Y4M"),
        (["a.y4m", "--deinterlace"], "--deinterlace is for video files other than Y4M"),
        (["a.y4m", "--drop-unfit"], "--drop-unfit is for video files other than Y4M"),
    ],
)
def test_wrong_usage_is_one_line_and_nothing_written(run_silent, folder, monkeypatch, arguments, message):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stream(frames_of())))))
    (folder / "c").mkdir()
    (folder / "a.y4m").write_bytes(stream(frames_of()))
    (folder / "old.y4m").write_bytes(b"precious")
    code, lines = run_silent(*arguments)
    assert (code, len(lines)) == (2, 1)
    assert message in lines[0]
    assert names(folder) == ["a.y4m", "c", "old.y4m"]
    assert (folder / "old.y4m").read_bytes() == b"precious"


def test_other_video_without_pyav(run_silent, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for name in ("encoder", "files", "hdr", "parts", "pixels", "source"):
        monkeypatch.delitem(sys.modules, f"fsrcnn_rt.video.{name}", raising=False)
    monkeypatch.delattr(fsrcnn_rt.video, "files", raising=False)
    monkeypatch.delitem(vars(fsrcnn_rt), "upscale_video", raising=False)
    (folder / "a.y4m").write_bytes(stream(frames_of()))
    words = "video files need PyAV, which is not installed: pip install 'fsrcnn-rt[video]'"
    assert run_silent("a.y4m", "b.mp4", "-o", "new") == (2, [f"fsrcnn-rt: video: {words}"])
    assert names(folder) == ["a.y4m"]
    with pytest.raises(ModuleNotFoundError) as caught:
        fsrcnn_rt.upscale_video("b.mp4", "c.mp4")
    assert str(caught.value) == words


def test_a_terminal_shows_the_rate_and_gets_no_video(model_file, folder):
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    (folder / "a.y4m").write_bytes(stream(frames_of(count=30)))
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    subprocess.run(command(model_file, "a.y4m"), stderr=theirs, check=True)
    with (folder / "a.y4m").open("rb") as film:
        refused = subprocess.run(command(model_file, "-"), stdin=film, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    shown = os.read(ours, 10000)
    os.close(ours)
    assert b" fps, " in shown and b" x real time" in shown
    assert refused.returncode == 2
    assert b"stdout is a terminal" in refused.stderr


def test_planes_are_read_as_they_lie(model):
    """A frame of one bright luma sample, so that no mix-up of planes or rows could go unseen."""
    planes = [np.full((6, 8), 16, np.uint8), np.full((3, 4), 100, np.uint8), np.full((3, 4), 200, np.uint8)]
    planes[0][4, 1] = 235
    result, _ = convert(stream([planes], size=(8, 6)), model)
    body = np.frombuffer(result.split(b"FRAME\n", 1)[1], np.uint8)
    luma = body[: 12 * 16].reshape(12, 16)
    assert_array_equal(luma, Upscaler(model).upscale(planes[0], 2))
    assert_array_equal(body[12 * 16 :], np.repeat(np.uint8([100, 200]), 6 * 8))


def test_weights_of_a_stream(variants, folder):
    """It tells nothing of how it was coded: the level is 0 unless it is given."""
    frames = frames_of()
    told = {}
    for asked in (("auto", "auto"), ("graphics", "auto"), ("auto", 3), ("photo", 0)):
        content, denoise = asked
        sink = io.BytesIO()
        done = upscale_y4m(io.BytesIO(stream(frames)), sink, 2, content=content, denoise=denoise)
        told[asked] = done.weights
        assert sink.getvalue() == expected(frames, variants[done.weights], 2)
    assert [*told.values()] == ["fsrcnn", "fsrcnn-graphics", "fsrcnn-denoise3", "fsrcnn"]
    (folder / "a.y4m").write_bytes(stream(frames))
    assert cli.main(["a.y4m", "-o", "b.y4m", "--denoise", "2"]) == 0
    assert (folder / "b.y4m").read_bytes() == expected(frames, variants["fsrcnn-denoise2"], 2)
    assert cli.main(["a.y4m", "-o", "c.y4m"]) == 0
    assert (folder / "c.y4m").read_bytes() == expected(frames, variants["fsrcnn"], 2)

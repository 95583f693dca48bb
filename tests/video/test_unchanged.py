"""Clips with and without what is copied from the frame before: the same bits, and how much it was."""

import io
import json
import re
import time

import numpy as np
import pytest

av = pytest.importorskip("av", reason="video files need PyAV")
from clips import add_video, frames, planes_of  # noqa: E402
from fsrcnn_rt import Upscaler  # noqa: E402
from fsrcnn_rt.video.files import Enlarged, _out_of_use, upscale_frames, upscale_video  # noqa: E402
from fsrcnn_rt.video.y4m import upscale_y4m  # noqa: E402

SIZE = (96, 64)
MODEL = Upscaler("fsrcnn-s", threads=2, content="photo", denoise=0)


def moving(count, pix_fmt="yuv420p"):
    """Still noise, and a square that goes over it; every other frame repeats one, the last is all new."""
    bits = 10 if "10" in pix_fmt else 8
    rng = np.random.default_rng(8)
    still, new = (av.VideoFrame(*SIZE, pix_fmt) for _ in range(2))
    for frame in (still, new):
        for plane in planes_of(frame):
            plane[...] = rng.integers(0, 2**bits, plane.shape)
    for i in range(count):
        frame = av.VideoFrame(*SIZE, pix_fmt)
        for plane, of in zip(planes_of(frame), planes_of(new if i == count - 1 else still), strict=True):
            plane[...] = of
        x = 8 * (i // 2)
        planes_of(frame)[0][10:20, x : x + 10] = 2**bits - 1
        yield frame


@pytest.fixture(params=["yuv420p", "yuv444p10le", "gray"])
def clip(tmp_path, request):
    path = tmp_path / "moving.mkv"
    with av.open(str(path), "w") as container:
        stream = add_video(container, request.param, size=SIZE)
        for i, frame in enumerate(moving(8, request.param)):
            frame.pts, frame.time_base = i, stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("goal", [{"scale": 2}, {"size": (250, 166)}], ids=["x2", "any size"])
def test_frames_are_the_same_with_and_without(clip, goal):
    with_reuse, without = (
        [
            [plane.copy() for plane in planes_of(frame)]
            for frame in upscale_frames(clip, **goal, model=MODEL, reuse=reuse)
        ]
        for reuse in (True, False)
    )
    assert len(with_reuse) == len(without) == 8
    for one, other in zip(with_reuse, without, strict=True):
        for plane, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(plane, same)


def test_whoever_gets_a_frame_may_write_to_it(clip):
    expected = [planes_of(frame)[0].copy() for frame in upscale_frames(clip, model=MODEL, reuse=False)]
    for frame, same in zip(upscale_frames(clip, model=MODEL), expected, strict=True):
        luma = planes_of(frame)[0]
        np.testing.assert_array_equal(luma, same)
        luma[...] = 0


def test_frames_before_a_fault_are_given(clip):
    made = [Enlarged(frame, 0.0) for frame in frames(clip)][:2]

    def broken():
        yield from made
        raise OSError("cannot be decoded")

    got = []
    with pytest.raises(OSError, match="cannot be decoded"):
        got.extend(_out_of_use(broken()))
    results = _out_of_use(broken())
    assert [next(results), next(results)] == [each.frame for each in made]
    with pytest.raises(OSError, match="cannot be decoded"):
        next(results)


def test_time_of_the_network_is_no_more_than_the_processors_had():
    stream = b"YUV4MPEG2 W96 H64 F25:1 C420mpeg2\n" + 40 * (b"FRAME\n" + bytes(96 * 64 * 3 // 2))
    before = time.process_time()
    done = upscale_y4m(io.BytesIO(stream), io.BytesIO(), model=MODEL.with_threads(8))
    assert 0 < done.spent.computing <= time.process_time() - before + 0.02


def test_a_file_tells_what_was_unchanged(clip, tmp_path):
    shares = []
    done = upscale_video(
        clip, tmp_path / "out.mkv", model=MODEL, progress=lambda done: shares.append(done.unchanged)
    )
    # All of every other frame, some of those between, and nothing of the first and the last.
    assert shares[0] == 0
    assert shares[1] == 0.5
    assert 3 / 8 < done.unchanged < 6 / 8
    assert done.unchanged == shares[-1] == pytest.approx(shares[-2] * 7 / 8)
    assert upscale_video(clip, tmp_path / "again.mkv", model=MODEL, reuse=False).unchanged == 0
    assert (tmp_path / "again.mkv").read_bytes()[-2000:] == (tmp_path / "out.mkv").read_bytes()[-2000:]


def test_y4m_is_the_same_with_and_without():
    stream = b"YUV4MPEG2 W%d H%d F25:1 C420mpeg2\n" % SIZE
    for frame in moving(9):
        stream += b"FRAME\n" + b"".join(plane.tobytes() for plane in planes_of(frame))
    streams = [io.BytesIO(), io.BytesIO()]
    done = [
        upscale_y4m(io.BytesIO(stream), sink, model=MODEL, reuse=reuse)
        for sink, reuse in zip(streams, (True, False), strict=True)
    ]
    assert streams[0].getvalue() == streams[1].getvalue()
    assert done[0].unchanged > 0.4
    assert done[1].unchanged == 0


def test_the_command_tells_the_share_and_can_do_without(clip, tmp_path, run_silent):
    for name, option, told in [("with.mkv", [], True), ("without.mkv", ["--no-reuse"], False)]:
        code, lines = run_silent(str(clip), "-v", "-o", str(tmp_path / name), *option)
        assert code == 0
        assert bool(re.search(r", \d\d% unchanged, ", lines[0])) == told


def test_json_tells_the_share_and_what_became_of_all(clip, tmp_path, run):
    output = tmp_path / "out.mkv"
    code, _, lines = run(str(clip), "--json", "-s", "2", "-o", str(output))
    assert code == 0
    done, counts = map(json.loads, lines)
    assert (done["input"], done["status"], done["outputs"]) == (str(clip), "done", {"2": str(output)})
    assert (done["frames"], done["weights"]) == (8, "random")
    assert 0 < done["unchanged"] < 1
    assert done["seconds"] > 0
    assert set(done["spent"]) == {"reading", "computing", "writing"}
    assert (counts["done"], counts["skipped"], counts["failed"]) == (1, 0, 0)
    code, _, lines = run("none.mkv", str(clip), "--json", "--skip-existing", "-o", f"{tmp_path}/")
    assert code == 1
    assert [json.loads(line).get("status") for line in lines] == ["failed", "done", None]
    code, _, lines = run("none.mkv", str(clip), "--json", "--skip-existing", "-o", f"{tmp_path}/")
    skipped, failed, counts = map(json.loads, lines)
    assert (skipped["input"], skipped["status"]) == (str(clip), "skipped")
    assert (failed["status"], failed["error"]) == ("failed", "No such file or directory")
    assert (counts["done"], counts["skipped"], counts["failed"]) == (0, 1, 1)

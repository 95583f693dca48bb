"""The functions and classes that users call."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context

import fsrcnn_rt
import numpy as np
import oracle
import PIL.Image
import pytest
from fsrcnn_rt import ScaleError, Upscaler, upscale
from fsrcnn_rt.engine import compute, runtime
from fsrcnn_rt.engine import upscaler as api
from fsrcnn_rt.model import NETWORKS, Head, Model, Node, save_model

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)


@pytest.fixture(scope="module")
def upscaler(model):
    return Upscaler(model, threads=1)


@pytest.fixture
def cache():
    api._cached_upscaler.cache_clear()
    return api._cached_upscaler.cache_info


def test_every_name_is_there():
    of_video = {"upscale_frames", "upscale_video"} if find_spec("av") is None else set()
    for name in set(fsrcnn_rt.__all__) - of_video:
        assert getattr(fsrcnn_rt, name) is not None
    for name in of_video:
        with pytest.raises(ModuleNotFoundError, match="PyAV"):
            getattr(fsrcnn_rt, name)
    assert {"Box", "save_model", "upscale_frames", "upscale_video"} <= set(fsrcnn_rt.__all__)
    assert set(fsrcnn_rt.__all__) <= set(dir(fsrcnn_rt))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fsrcnn_rt.nothing  # noqa: B018


def test_names_that_are_loaded_late_are_listed_before():
    code = "import fsrcnn_rt; print({'measure_fps', 'upscale_video', '__version__'} <= set(dir(fsrcnn_rt)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "True"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies(model, copied, monkeypatch):
    for upscaler in (Upscaler(model, threads=2, isa="reference"), Upscaler(model)):
        other = copied(upscaler)
        assert other is not upscaler
        assert (other.threads, other.isa, other.scales) == (upscaler.threads, upscaler.isa, (2, 3, 4))
        assert other.model.name == model.name
        np.testing.assert_array_equal(other.upscale(IMAGE, 2), upscaler.upscale(IMAGE, 2))
    # Another machine has other processors: what was not asked for is chosen there.
    monkeypatch.setenv("FSRCNN_RT_THREADS", "7")
    monkeypatch.setenv("FSRCNN_RT_ISA", "reference")
    assert copied(Upscaler(model, threads=2, isa="baseline")).threads == 2
    other = copied(upscaler)
    assert (other.threads, other.isa) == (7, "reference")


def test_an_upscaler_in_another_process(model_file):
    upscaler = Upscaler(model_file, threads=1)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        result = pool.submit(upscaler.upscale, IMAGE, 2).result()
    np.testing.assert_array_equal(result, upscaler.upscale(IMAGE, 2))


def test_attributes(model, isa):
    upscaler = Upscaler(model, threads=3, isa=isa)
    assert (upscaler.model, upscaler.scales, upscaler.isa, upscaler.threads) == (model, (2, 3, 4), isa, 3)
    for name in ("model", "scales", "isa", "threads", "other"):
        with pytest.raises(AttributeError):
            setattr(upscaler, name, 1)


def test_default_model_and_scale():
    assert upscale(IMAGE).shape == (27, 36, 3)
    assert Upscaler().model.name == "fsrcnn"
    assert not np.array_equal(upscale(IMAGE, model="fsrcnn-s"), upscale(IMAGE))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shipped_models_do_not_shift_the_picture(name, scale):
    """Bicubic interpolation has its pixel centres aligned; no shifted copy of it may come closer."""
    y, x = np.mgrid[:40, :50] / 10
    plane = 0.5 + 0.2 * np.sin(2 * x + y) + 0.2 * np.cos(3 * y - x * x)
    result = upscale(plane, scale, model=name)
    reference = oracle.bicubic(plane, scale)

    def distance(dy, dx):
        shifted = np.roll(reference, (dy, dx), (0, 1))
        return np.abs(result - shifted)[8:-8, 8:-8].mean()

    assert distance(0, 0) < 0.01
    for dy, dx in [(0, 1), (0, -1), (1, 0), (-1, 0)]:
        assert distance(dy, dx) > 2 * distance(0, 0)


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("border", ["full", 1, 10**15])
def test_what_a_model_says_is_what_is_computed(padding, border):
    """Each activation, padding and border means to the core what it means by definition."""
    rng = np.random.default_rng(3)
    net = oracle.random_net(rng, 6, 4, 1, padding=padding, border=1 if border == 1 else -1)
    for (_, _, slopes), slope in zip(net.layers, [0, 1, None, 0.05], strict=True):
        if slope is not None:
            slopes[:] = slope
    model = Model(
        nodes=[Node(*node) for node in net.nodes],
        heads={scale: Head(*head[:4], border) for scale, head in net.heads.items()},
        padding=padding,
        name="x",
    )
    plane = rng.random((8, 9), np.float32)
    for scale, result in upscale(plane, (2, 3, 4), model=model).items():
        np.testing.assert_allclose(result, oracle.luma(net, plane, scale), atol=1e-5)


def test_upscale_is_an_upscaler(model, upscaler):
    np.testing.assert_array_equal(upscale(IMAGE, 2, model=model), upscaler.upscale(IMAGE, 2))


def test_several_scales_come_as_a_dict_in_the_order_asked(upscaler):
    results = upscaler.upscale(IMAGE, [4, 2])
    assert list(results) == [4, 2]
    for scale, result in results.items():
        np.testing.assert_array_equal(result, upscaler.upscale(IMAGE, scale))
    assert list(upscaler.upscale(IMAGE, (3,))) == [3]
    assert list(upscaler.upscale(IMAGE, range(2, 4))) == [2, 3]


@pytest.mark.parametrize("scale", [0, 1, 17, -2, (2, 17)])
def test_scales_out_of_range(upscaler, scale):
    with pytest.raises(ScaleError, match=r"scale=-?\d+ is not above 1 and up to 16"):
        upscaler.upscale(IMAGE, scale)


@pytest.mark.parametrize("scale", [(), (2, 2)])
def test_scales_that_are_no_set(upscaler, scale):
    with pytest.raises(ScaleError, match="is empty or names a scale twice"):
        upscaler.upscale(IMAGE, scale)


@pytest.mark.parametrize("scale", ["3", True, 3j, (2, "3"), [True], {2, 3}])
def test_scales_that_are_no_numbers(upscaler, scale):
    with pytest.raises(TypeError, match="scale="):
        upscaler.upscale(IMAGE, scale)


def test_a_size_given_for_scales_is_told(upscaler):
    with pytest.raises(ScaleError, match=r"^scale=1920 is not .* up to 16; size=\(1920, 1080\) asks"):
        upscaler.upscale(IMAGE, (1920, 1080))
    for scale in (1920, (2, 1080), (17, 18, 19)):
        with pytest.raises(ScaleError, match=r"is not above 1 and up to 16$"):
            upscaler.upscale(IMAGE, scale)


def test_integers_of_numpy_are_scales(upscaler):
    assert list(upscaler.upscale(IMAGE, (np.int64(2),))) == [2]


@pytest.mark.parametrize("dtype", ["uint8", "float64", ">u2"])
def test_out(upscaler, dtype):
    image = IMAGE.astype(dtype)
    out = np.full((27, 36, 3), 7, dtype)
    assert upscaler.upscale(image, out=out) is out
    np.testing.assert_array_equal(out, upscaler.upscale(image))
    outs = {4: np.zeros((36, 48, 3), dtype), 2: np.zeros((40, 24, 3), dtype)[::2][:18]}
    outs[2] = np.zeros((36, 24, 3), dtype)[::2]
    results = upscaler.upscale(image, (2, 4), out=outs)
    for scale, result in results.items():
        assert result is outs[scale]
        np.testing.assert_array_equal(result, upscaler.upscale(image, scale))


def test_out_that_came_from_another_process(upscaler):
    out = pickle.loads(pickle.dumps(np.zeros((27, 36, 3), np.uint8)))
    np.testing.assert_array_equal(upscaler.upscale(IMAGE, out=out), upscaler.upscale(IMAGE))


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("scale", "out", "error", "message"),
    [
        (3, np.zeros((27, 37, 3), np.uint8), ValueError, r"out has shape \(27, 37, 3\) and dtype uint8"),
        (3, np.zeros((27, 36), np.uint8), ValueError, r"not \(27, 36, 3\) and uint8 as scale=3 needs"),
        (3, np.zeros((27, 36, 3), np.float32), ValueError, "dtype float32"),
        (3, read_only(np.zeros((27, 36, 3), np.uint8)), ValueError, "out for scale=3 is read-only"),
        (3, {3: np.zeros((27, 36, 3), np.uint8)}, TypeError, "out is dict"),
        (3, bytearray(2916), TypeError, "out is bytearray"),
        ((3,), np.zeros((27, 36, 3), np.uint8), TypeError, "out is not a mapping"),
        ((3,), {3: bytearray(2916)}, TypeError, "out is not a mapping of numpy arrays"),
        ((2, 3), {3: np.zeros((27, 36, 3), np.uint8)}, ValueError, r"out has the scales \[3\], not \[2, 3\]"),
    ],
)
def test_out_that_does_not_fit(upscaler, scale, out, error, message):
    with pytest.raises(error, match=message):
        upscaler.upscale(IMAGE, scale, out=out)


def test_out_that_overlaps(upscaler):
    memory = np.zeros((40, 36, 3), np.uint8)
    with pytest.raises(ValueError, match="out overlaps image"):
        upscaler.upscale(memory[20:29, :12], out=memory[:27])
    with pytest.raises(ValueError, match="or another out"):
        upscaler.upscale(IMAGE, (2, 3), out={3: memory[:27], 2: memory[22:, :24]})
    assert not memory.any()


def test_out_is_not_for_pillow(upscaler):
    from PIL import Image

    with pytest.raises(TypeError, match="image is a Pillow image"):
        upscaler.upscale(Image.fromarray(IMAGE), out=np.zeros((27, 36, 3), np.uint8))


def test_the_cache_knows_a_file_from_its_successor(cache, model_file, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(model_file.read_bytes())
    first = upscale(IMAGE, 2, model=path, threads=1)
    upscale(IMAGE, 2, model=str(path), threads=1)
    assert (cache().hits, cache().misses) == (1, 1)

    upscale(IMAGE, 2, model=path, threads=2)
    upscale(IMAGE, 2, model=path, threads=1, isa="reference")
    assert (cache().hits, cache().misses) == (1, 3)

    loaded = fsrcnn_rt.load(path)
    loaded.heads[2].weight.flags.writeable = True
    loaded.heads[2].weight[...] = 0
    save_model(loaded, path)
    assert not np.array_equal(upscale(IMAGE, 2, model=path, threads=1), first)
    assert cache().misses == 4


def test_the_cache_knows_files_of_one_name_apart(cache, model_file, tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(model_file.read_bytes())
        os.utime(tmp_path / name / "model.safetensors", (0, 0))
        monkeypatch.chdir(tmp_path / name)
        upscale(IMAGE, 2, model="model.safetensors")
    assert cache().misses == 2


def test_the_cache_knows_models_in_memory(cache, model):
    upscale(IMAGE, 2, model=model)
    upscale(IMAGE, 3, model=model)
    assert (cache().hits, cache().misses) == (1, 1)


def test_models_that_are_none():
    with pytest.raises(TypeError, match="model=3 is neither a name nor a path"):
        Upscaler(3)
    with pytest.raises(fsrcnn_rt.ModelError, match="model='nope'"):
        upscale(IMAGE, model="nope")


def test_threads_from_argument_environment_machine(model, monkeypatch):
    assert Upscaler(model).threads == runtime.usable_cpus()
    monkeypatch.setenv("FSRCNN_RT_THREADS", "5")
    assert Upscaler(model).threads == 5
    assert Upscaler(model, threads=2).threads == 2
    monkeypatch.setenv("FSRCNN_RT_THREADS", "")
    assert Upscaler(model).threads == runtime.usable_cpus()
    assert [Upscaler(model, threads=threads).threads for threads in (1, 1024)] == [1, 1024]


@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_threads_out_of_range(model, threads, monkeypatch):
    with pytest.raises(ValueError, match=f"threads={threads} is not between 1 and 1024"):
        Upscaler(model, threads=threads)
    monkeypatch.setenv("FSRCNN_RT_THREADS", str(threads))
    with pytest.raises(ValueError, match=f"FSRCNN_RT_THREADS='{threads}' is not between"):
        upscale(IMAGE, model=model)


def test_threads_that_are_no_number(model, monkeypatch):
    for threads in (2.0, "2", True):
        with pytest.raises(TypeError, match="threads="):
            Upscaler(model, threads=threads)
    monkeypatch.setenv("FSRCNN_RT_THREADS", "all")
    with pytest.raises(ValueError, match="FSRCNN_RT_THREADS='all' is not an integer"):
        Upscaler(model)


def test_isa_from_argument_environment_machine(model, monkeypatch):
    isas = fsrcnn_rt.available_isas()
    assert isinstance(isas, tuple)
    assert isas[0] == "reference"
    assert Upscaler(model).isa == isas[-1]
    monkeypatch.setenv("FSRCNN_RT_ISA", "reference")
    assert Upscaler(model).isa == "reference"
    assert Upscaler(model, isa=isas[-1]).isa == isas[-1]
    monkeypatch.setenv("FSRCNN_RT_ISA", "mmx")
    with pytest.raises(
        ValueError, match="FSRCNN_RT_ISA='mmx' is not available on this processor, only reference"
    ):
        Upscaler(model)
    with pytest.raises(ValueError, match="isa='sse9' is not available"):
        Upscaler(model, isa="sse9")


def test_affinity_limits_the_threads(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 8})
    monkeypatch.setattr(runtime, "_cgroup_quotas", lambda root: iter(()))
    assert runtime.usable_cpus() == 3


@pytest.mark.parametrize(("count", "cpus"), [(5, 5), (None, 1)])
def test_where_there_is_no_affinity(model, count, cpus, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    monkeypatch.setattr(runtime, "_cgroup_quotas", lambda root: iter(()))
    assert Upscaler(model).threads == cpus


@pytest.mark.parametrize(
    ("groups", "files", "cpus"),
    [
        ("0::/", {}, 16),
        ("0::/", {"cpu.max": "max 100000"}, 16),
        ("0::/", {"cpu.max": "250000 100000"}, 3),
        ("0::/", {"cpu.max": "10000 100000"}, 1),
        ("0::/a/b", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "max 100000"}, 4),
        ("0::/a/b", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "200000 100000"}, 2),
        ("0::/host/only", {"cpu.max": "200000 100000"}, 2),
        ("0::/../up", {"cpu.max": "200000 100000"}, 2),
        ("4:cpu,cpuacct:/x", {"cpu/x/cpu.cfs_quota_us": "150000", "cpu/x/cpu.cfs_period_us": "100000"}, 2),
        ("4:cpu:/x", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, 16),
        ("4:memory:/x", {"cpu/x/cpu.cfs_quota_us": "150000", "cpu/x/cpu.cfs_period_us": "100000"}, 16),
        ("0::/", {"cpu.max": "damaged"}, 16),
    ],
)
def test_quotas_limit_the_threads(groups, files, cpus, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    files = {f"sys/fs/cgroup/{name}": text for name, text in files.items()} | {"proc/self/cgroup": groups}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert runtime.usable_cpus(tmp_path) == cpus


@pytest.mark.parametrize(
    ("affinity", "environment", "arguments", "threads"),
    [
        (False, {}, "threads=1", 1),
        (False, {}, "threads=3", 3),
        (False, {"FSRCNN_RT_THREADS": "4"}, "", 4),
        (True, {}, "", 1),
        (True, {}, "threads=2", 2),
    ],
)
def test_no_more_threads_run_than_were_asked_for(model_file, affinity, environment, arguments, threads):
    """Counted by the system, where affinity leaves one processor to the process or not."""
    code = f"""
import os
import numpy as np
import fsrcnn_rt
if {affinity}:
    os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
before = len(os.listdir("/proc/self/task"))
fsrcnn_rt.upscale(np.zeros((200, 300, 3), np.uint8), model={str(model_file)!r}, {arguments})
print(1 + len(os.listdir("/proc/self/task")) - before)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert result.stdout.strip() == str(threads), result.stderr


def test_one_upscaler_serves_several_threads(model):
    upscaler = Upscaler(model, threads=2)
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (20 + 3 * i, 31, 3), np.uint8) for i in range(4)]
    expected = [upscaler.upscale(image) for image in images]
    results = {}

    def work(i):
        results[i] = [upscaler.upscale(images[i]) for _ in range(5)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(4):
        for result in results[i]:
            np.testing.assert_array_equal(result, expected[i])


def test_the_gil_is_released(model):
    """With no time slices, the main thread runs during the call only if the call lets it."""
    upscaler = Upscaler(model, threads=1, isa="reference")
    image = np.zeros((800, 800), np.float32)
    started, done, seen = threading.Event(), [], []

    def work():
        started.set()
        upscaler.upscale(image)
        done.append(True)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        worker = threading.Thread(target=work)
        worker.start()
        started.wait()
        seen.append(list(done))
        worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert seen == [[]]


def test_a_forked_child_can_upscale(model_file):
    code = f"""
import os
import numpy as np
import fsrcnn_rt
image = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)
call = lambda: fsrcnn_rt.upscale(image, model={str(model_file)!r}, threads=3)
expected = call()
child = os.fork()
same = np.array_equal(call(), expected)
if child == 0:
    os._exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0 and same
"""
    command = [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        code,
    ]  # Python 3.12 dislikes any fork
    assert subprocess.run(command, timeout=60).returncode == 0


def test_progress_of_a_large_picture(upscaler, monkeypatch):
    image = np.random.default_rng(2).integers(0, 256, (45, 12, 4), np.uint8)
    expected = upscaler.upscale(image, (2, 3))
    monkeypatch.setattr(compute, "_ROWS_AT_ONCE", 8)
    monkeypatch.setattr(compute, "_PIXELS_AT_ONCE", 1)
    for kind in (image, PIL.Image.fromarray(image)):
        for call in (upscaler.upscale, partial(upscale, model=upscaler.model, threads=1)):
            seen = []
            for scale, result in call(kind, (2, 3), progress=seen.append).items():
                np.testing.assert_array_equal(np.asarray(result), expected[scale])
            assert seen == [8 / 45, 16 / 45, 24 / 45, 32 / 45, 40 / 45, 1.0]
    seen = []
    Upscaler(upscaler.model, threads=3).upscale(image, progress=seen.append)
    assert seen == [24 / 45, 1.0]
    monkeypatch.setattr(compute, "_PIXELS_AT_ONCE", 12 * 17)  # blocks have 4 rows
    seen = []
    upscaler.upscale(image, progress=seen.append)
    assert seen == [16 / 45, 32 / 45, 1.0]


def test_progress_of_a_small_picture(upscaler):
    seen = []
    upscaler.upscale(IMAGE, progress=seen.append)
    assert seen == [1.0]


@pytest.mark.parametrize(
    ("scale", "seen"),
    [
        ((2, 3), [0.5, 1]),
        ((2, 1.5, 5), [1 / 6, 1 / 3, 2 / 3, 1]),
        ((1.5, 2.5), [1 / 2, 1]),
        ((4, 3.999), [1 / 4, 1 / 2, 1]),  # the same size
        (1.5, [1]),
    ],
)
def test_progress_of_several_sizes(upscaler, monkeypatch, scale, seen):
    """All scales of the network are one piece, which is told of by its rows, and every other size is one."""
    monkeypatch.setattr(compute, "_ROWS_AT_ONCE", 8)
    monkeypatch.setattr(compute, "_PIXELS_AT_ONCE", 1)
    told = []
    upscaler.upscale(np.zeros((16, 9), np.uint8), scale, progress=told.append)
    assert told == pytest.approx(seen)


def test_what_progress_raises_ends_the_call(upscaler, monkeypatch):
    monkeypatch.setattr(compute, "_ROWS_AT_ONCE", 8)
    monkeypatch.setattr(compute, "_PIXELS_AT_ONCE", 1)
    image = np.full((40, 12), 200, np.uint8)
    out = np.full((80, 24), 7, np.uint8)

    class EnoughError(Exception):
        pass

    def stop(done):
        if done > 0.3:
            raise EnoughError(done)

    with pytest.raises(EnoughError, match=r"^0\.4$"):
        upscaler.upscale(image, 2, out=out, progress=stop)
    assert (out[32:] == 7).all()
    assert (out[:32] != 7).all()
    np.testing.assert_array_equal(upscaler.upscale(image, 2, out=out), upscaler.upscale(image, 2))


def test_an_interruption_ends_a_long_call(model):
    """Ctrl-C is seen between a few million pixels and the next, not when a huge picture is done."""
    out = np.full((6000, 4200), 7, np.uint8)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            Upscaler(model, threads=1, isa="reference").upscale(np.zeros((3000, 2100), np.uint8), 2, out=out)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (out[-1] == 7).all()


@pytest.mark.parametrize("channels", ["luma", "rgb"])
def test_measure_fps(model, channels, monkeypatch):
    shapes = set()
    run = Upscaler.upscale

    def spy(self, image, *arguments, **options):
        shapes.add(image.shape)
        return run(self, image, *arguments, **options)

    monkeypatch.setattr(Upscaler, "upscale", spy)
    report = fsrcnn_rt.measure_fps(model, (14, 6), 2, threads=1, channels=channels, seconds=0)
    assert (report.input_size, report.scale, report.channels, report.threads) == ((14, 6), 2, channels, 1)
    assert (report.model, report.isa, report.calls) == ("random", fsrcnn_rt.available_isas()[-1], 5)
    assert report.fps * report.median_ms == pytest.approx(1000)
    assert report.real_time == (report.fps >= 24)
    assert shapes == {(6, 14) if channels == "luma" else (6, 14, 3)}
    assert report.gflops == pytest.approx(2e-9 * model.macs_per_pixel(2) * 14 * 6 * report.fps)


def test_measure_fps_of_a_pixel(model):
    assert fsrcnn_rt.measure_fps(model, (1, 1), 2, threads=1, seconds=0).input_size == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_size": (0, 5)}, r"input_size=\(0, 5\)"),
        ({"scale": []}, r"scale=\[\] is empty or names a scale twice"),
        ({"scale": [2, 3, 2]}, r"scale=\[2, 3, 2\] is empty or names a scale twice"),
        ({"input_size": (5,)}, r"input_size=\(5,\)"),
        ({"input_size": 5}, r"input_size=5 is not a width and a height"),
        ({"input_size": "55"}, r"input_size='55' is not a width and a height"),
        ({"channels": "yuv"}, "channels='yuv'"),
        ({"seconds": -1}, "seconds=-1"),
        ({"scale": 7}, "scale=7"),
        ({"threads": 0}, "threads=0"),
    ],
)
def test_measure_fps_of_what_cannot_be_measured(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        fsrcnn_rt.measure_fps(model, **{"seconds": 0} | arguments)

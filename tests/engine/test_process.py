"""What a process does to its threads and interpreters: it ends while they work, refuses them, has several."""

import os
import subprocess
import sys
import threading

import pytest
from fsrcnn_rt.engine import streams
from fsrcnn_rt.engine.streams import Pool, in_order, read_ahead

# tests/cpp/run_checks.sh python
of_plain_memory = pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer takes memory of its own"
)


def run_python(script, *, stack=None, timeout=60, **environment):
    """Run a script in an interpreter of its own; ``stack``: bytes for that of each thread."""

    def limit():
        import resource

        resource.setrlimit(resource.RLIMIT_STACK, (stack, stack))

    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
        preexec_fn=limit if stack else None,
    )


_LOOPING = """
import threading
import numpy as np
import fsrcnn_rt
from fsrcnn_rt import _core

grey, rgb = np.zeros((8, 8), np.uint8), np.zeros((9, 9, 3), np.float32)
upscaler = fsrcnn_rt.Upscaler("fsrcnn-s", threads=2)
gradients = [_core.Gradients(upscaler.isa) for _ in range(3)]
layer = (np.ones((4, 1, 3, 3), np.float32), np.ones(4, np.float32), np.ones(4, np.float32))
lr, hr = np.zeros((8, 8, 8), np.float32), np.zeros((8, 16, 16), np.float32)
started = threading.Barrier(4)

def loop(number):
    CALL
    started.wait()
    while True:
        CALL

for number in range(3):
    threading.Thread(target=loop, args=(number,), daemon=True).start()
started.wait()
"""
_CALLS = {
    "whole scale": "upscaler.upscale(grey, 3)",
    "any size": "upscaler.upscale(rgb, size=(23, 20))",
    "planes": "upscaler.upscale_planes([grey, grey[:4, :4], grey[:4, :4]], 2.5)",
    "several at once": "list(upscaler.map([grey] * 4, 2))",
    "a new upscaler": "fsrcnn_rt.Upscaler('fsrcnn-s').upscale(grey)",
    "timing": "fsrcnn_rt.measure_fps(upscaler, (8, 8), seconds=0)",
    "peak": "_core.fma_peak(upscaler.isa, 2, 1e-4)",
    "training": "gradients[number].run([layer], lr, hr, 'l1', 0, 2)",
}


@pytest.mark.parametrize("call", _CALLS.values(), ids=_CALLS)
def test_the_interpreter_ends_while_threads_work(call):
    # Daemon threads ask for the GIL when there is none to be had any more.
    ended = run_python(_LOOPING.replace("CALL", call))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


_SUBINTERPRETER = """
import warnings
warnings.simplefilter("ignore")  # of numpy, which may also refuse
for name, text in ("upscale", ""), ("_core", "main interpreter"):
    try:
        if name == "_core":
            from fsrcnn_rt import _core
        else:
            from fsrcnn_rt import upscale
    except ImportError as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"{name} was imported")
"""


@pytest.mark.parametrize("first", ["", "from fsrcnn_rt import upscale"], ids=["alone", "beside the main one"])
def test_a_subinterpreter_is_told(first):
    script = f"""
{first}
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
failure = interpreters.run_string(interpreters.create(), {_SUBINTERPRETER!r})
assert failure is None, failure
"""
    ended = run_python(script)
    assert (ended.returncode, ended.stderr) == (0, "")


_REFUSED = """
import resource
import threading
from pathlib import Path

def refuse_threads():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    room = pages * resource.getpagesize() + STACK * 3 // 4
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    try:
        while True:  # stacks of threads that have ended are given out again
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    except RuntimeError:
        pass
"""
_STACK = 1 << 30


def run_without_threads(script):
    """Run a script that is refused threads, as there is no memory for their stacks."""
    return run_python(_REFUSED.replace("STACK", str(_STACK)) + script, stack=_STACK)


@of_plain_memory
def test_refused_threads_change_no_bit():
    ended = run_without_threads("""
import numpy as np
import fsrcnn_rt
from fsrcnn_rt import _core

pictures = [np.random.default_rng(i).integers(0, 255, (40, 50 + i, 3), np.uint8) for i in range(4)]
models = ["fsrcnn-s", "idn"]

def results(threads):
    got = []
    for model in models:
        upscaler = fsrcnn_rt.Upscaler(model, threads=threads)
        got += [upscaler.upscale(pictures[0], 2), upscaler.upscale(pictures[1], size=(91, 77))]
        got += upscaler.map(pictures, 2)
    return got

want = results(1)
refuse_threads()
count = threading.active_count()
for one, other in zip(results(4), want, strict=True):
    assert np.array_equal(one, other)
assert fsrcnn_rt.measure_fps("fsrcnn-s", (8, 8), threads=4, seconds=0).fps > 0
assert _core.fma_peak("reference", 4, 1e-3) > 0
assert threading.active_count() == count
""")
    assert (ended.returncode, ended.stderr) == (0, "")


@of_plain_memory
def test_refused_threads_end_no_batch(tmp_path):
    from PIL import Image

    for i in range(3):
        Image.new("RGB", (300, 400), (9 * i, 20, 30)).save(tmp_path / f"{i}.png")
    ended = run_without_threads(f"""
from fsrcnn_rt import cli

folder = Path({str(tmp_path)!r})
command = [str(folder), "-o", str(folder / "out"), "-s", "2", "-j", "4", "--quiet"]

def results():
    return [path.read_bytes() for path in sorted((folder / "out").iterdir())]

assert cli.main([*command[:-2], "1", "--quiet"]) == 0
want = results()
refuse_threads()
assert cli.main([*command, "--overwrite"]) == 0
assert len(want) == 3 and results() == want
""")
    assert (ended.returncode, ended.stderr) == (0, "")


class NoThreads:
    """As threading.Thread, for a while."""

    def __init__(self, monkeypatch, after):
        self.after = after
        start = threading.Thread.start

        def refused(thread):
            if self.after == 0:
                raise RuntimeError("can't start new thread")
            self.after -= 1
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refused)


@pytest.mark.parametrize("given", range(4))
def test_streams_go_on_with_fewer_threads(monkeypatch, given):
    NoThreads(monkeypatch, given)
    assert list(in_order(lambda i: i * i, read_ahead((i for i in range(50)), 2), 3, 5)) == [
        i * i for i in range(50)
    ]


def test_work_that_no_thread_is_left_for_is_done_once(monkeypatch):
    NoThreads(monkeypatch, 1)
    done = []
    with Pool(4) as pool:
        futures = [pool.submit(done.append, i) for i in range(1000)]
    assert sorted(done) == list(range(1000))
    assert all(future.done() and future.exception() is None for future in futures)


def test_a_fault_of_work_that_no_thread_is_left_for(monkeypatch):
    NoThreads(monkeypatch, 0)

    def fail(error):
        raise error

    with Pool(2) as pool:
        assert isinstance(pool.submit(fail, OSError("no")).exception(), OSError)
        with pytest.raises(KeyboardInterrupt):  # now, and not behind all that is to be done
            pool.submit(fail, KeyboardInterrupt())


def test_work_that_waits_can_be_called_off():
    go = threading.Event()
    with Pool(1) as pool:
        running, waiting = pool.submit(go.wait), pool.submit(print)
        pool.shutdown(wait=False, cancel_futures=True)
        go.set()
    assert running.result() and waiting.cancelled()


def test_items_that_are_read_here_are_closed(monkeypatch):
    NoThreads(monkeypatch, 0)
    closed = []

    def items():
        try:
            yield from range(9)
        finally:
            closed.append(True)

    ahead = streams.read_ahead(items(), 2)
    assert next(ahead) == 0
    ahead.close()
    assert closed == [True]


_GROWTH = """
import ctypes
import gc
import os
import threading
import numpy as np
import fsrcnn_rt

def resident():
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)  # what is free stays resident otherwise, here and there
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

def in_threads(count, work):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

random = np.random.default_rng(1)
"""


@of_plain_memory
@pytest.mark.parametrize(("model", "side"), [("fsrcnn", 160), ("idn", 32)])
def test_scratch_of_many_callers_is_given_back(model, side):
    # Kept is what as many calls need as there are processors, until the upscaler is gone.
    ended = run_python(f"""{_GROWTH}
callers = 8 * os.cpu_count()
picture = np.zeros(({side}, {side}), np.uint8)
results = [np.ones(({side} * 2, {side} * 2), np.uint8) for _ in range(callers)]
upscaler = fsrcnn_rt.Upscaler({model!r}, precision="float32", threads=1)
before = resident()
upscaler.upscale(picture, 2, out=results[0])
one = resident() - before
meet = threading.Barrier(callers)

def call():
    out = results[meet.wait()]
    for _ in range(2):
        upscaler.upscale(picture, 2, out=out)

in_threads(callers, call)
kept = resident() - before
del upscaler
left = resident() - before
print(f"one {{one:.1f}} MiB, kept of {{callers}} callers {{kept:.1f}}, left {{left:.1f}}")
assert kept < (os.cpu_count() + 1) * one + 8, kept
assert left < 8, left
""")
    print(ended.stdout)
    assert (ended.returncode, ended.stderr) == (0, "")


# FSRCNN_RT_GROWTH=50 is 10,000 calls and 300 upscalers, which takes two minutes.
_TIMES = float(os.environ.get("FSRCNN_RT_GROWTH", "1"))


@of_plain_memory
def test_memory_does_not_grow():
    ended = run_python(
        f"""{_GROWTH}
from concurrent.futures import ThreadPoolExecutor
from functools import partial

NAMES = ["fsrcnn-s", "fsrcnn", "srcnn"]
TYPES = [np.uint8, np.uint16, np.float32]

def picture(random, most):
    shape = (*random.integers(1, most, 2), random.integers(1, 5))
    return random.integers(0, 200, shape).astype(random.choice(TYPES))

def call(upscalers, seed):
    random = np.random.default_rng(seed)
    upscaler = upscalers[seed % 3]
    image = picture(random, 200 if seed % 10 == 0 else 40)
    match seed % 5:
        case 0 | 1:
            upscaler.upscale(image, int(random.integers(2, 5)))
        case 2:
            upscaler.upscale(image, float(random.uniform(1.6, 6)))
        case 3:
            list(upscaler.map([image] * 3, 2))
        case 4:
            plane = image[..., 0].astype(np.uint8)
            upscaler.upscale_planes([plane, plane, plane], 2.5, subsampling=(1, 1))

def build(seed):
    upscaler = fsrcnn_rt.Upscaler(NAMES[seed % 3], threads=2, strength=0.5 + seed % 7 / 10)
    upscaler.upscale(np.zeros((9, 9 + seed % 50), np.uint8), 2)

def work(calls, makes, seed):
    upscalers = [fsrcnn_rt.Upscaler(name, threads=1 + i) for i, name in enumerate(NAMES)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(partial(call, upscalers), range(seed, seed + calls)))
        list(pool.map(build, range(seed, seed + makes)))
    del upscalers
    return resident()

work(200, 6, 0)
sizes = [work(round({_TIMES} * 50), round({_TIMES} * 1.5), 1000 * i) for i in range(4)]
print("MiB:", *(f"{{size:.1f}}" for size in sizes))
assert sizes[-1] - sizes[0] < 4, sizes
""",
        timeout=60 + 60 * _TIMES,
        MALLOC_ARENA_MAX="1",  # or each thread would keep something of its own
    )
    print(ended.stdout)
    assert (ended.returncode, ended.stderr) == (0, "")

"""What a Ray cluster costs beside the local batch on the same CPUs, and what becomes of it when a node dies.

python benchmarks/cluster.py --pictures 2000 [--nodes 2 [--kill]] [--s3]
python benchmarks/cluster.py --frames 2000 [--nodes 2]
python benchmarks/cluster.py --tasks 1000      what Ray takes for a task, and what travels with one

Results are compared with those of the local batch, to the byte; of video frame by frame. Seconds are told by
the clock, and of CPUs, of this process and all that it has started, which a busy machine disturbs less.
Pictures and video are made here.
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, nullcontext
from itertools import zip_longest
from pathlib import Path
from time import perf_counter

import numpy as np
from fsrcnn_rt import Upscaler, pictures
from fsrcnn_rt.cluster import nodes, videos
from fsrcnn_rt.cluster import pictures as cluster
from fsrcnn_rt.cluster.stores import Stores
from fsrcnn_rt.engine.runtime import resolve_threads
from fsrcnn_rt.pictures import batch
from fsrcnn_rt.pictures.encoding import WriteOptions
from fsrcnn_rt.plan import PICTURES, VIDEOS
from PIL import Image

SIZE = (320, 240)
NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}
DIFFERENT = 20  # pictures; the others are links to them


def main():
    options = parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="fsrcnn-rt-") as folder:
        work, upscaler, start = Path(folder), Upscaler(options.model), perf_counter()
        with (
            s3() if options.s3 else nullcontext(folder) as place,
            ray_of(options.nodes) as made,
            nodes.nodes(None, None) as shares,
        ):
            print(f"Ray is up in {perf_counter() - start:.1f} s, {shares}", flush=True)
            if options.tasks:
                measure_tasks(work, upscaler, shares, options)
            elif options.frames:
                measure_video(work, upscaler, shares, options)
            else:
                measure_pictures(work, upscaler, shares, options, place, made)


def parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--tasks", type=int, help="that do nothing: what Ray itself takes")
    parser.add_argument("--frames", type=int, help="of a video, in place of pictures")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=0, help="of one CPU each; 0: this machine as one node")
    parser.add_argument("--kill", action="store_true", help="kill the last node half way")
    parser.add_argument("--s3", action="store_true", help="through a server of S3 here (moto)")
    parser.add_argument("--model", default="fsrcnn")
    return parser


class Stopwatch:
    """Seconds within a block, by the clock and of CPUs."""

    def __enter__(self):
        self._start = perf_counter(), cpu_seconds()
        return self

    def __exit__(self, *_):
        self.wall, self.cpu = perf_counter() - self._start[0], cpu_seconds() - self._start[1]


def cpu_seconds():
    """Seconds of CPUs of this process and of those below it, also such as have ended and were waited for."""
    parents, used = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            values = (
                (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdecimal() else None
            )
        except OSError:  # it has ended
            continue
        if values:
            parents[int(entry.name)] = int(values[1])
            used[int(entry.name)] = sum(map(int, values[11:15])) / os.sysconf("SC_CLK_TCK")
    own = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in own} - own:
        own |= more
    return sum(used[process] for process in own)


def measure_pictures(work, upscaler, shares, options, place, made):
    make_pictures(work / "in", options.pictures)
    source = str(work / "in")
    if options.s3:
        import fsspec

        source = f"{place}/in"
        fsspec.filesystem("s3").put(f"{work}/in/", f"{source}/", recursive=True)
    run(source, f"{place}/warm", upscaler, shares, limit=DIFFERENT)
    for i in range(options.rounds):
        with Stopwatch() as local:
            run_local(work, f"local{i}", upscaler, DIFFERENT if options.kill else None)
        target = f"{place}/ray{i}"
        with Stopwatch() as ray:
            run(source, target, upscaler, shares, on_half=made.kill if options.kill else None)
        if not options.kill:
            tell(local, ray, options.pictures)
        check_pictures(work / f"local{i}", target, options.pictures)


def measure_tasks(work, upscaler, shares, options):
    from ray import cloudpickle

    make_pictures(work / "in", DIFFERENT)
    plan, stores = cluster.planned(work / "in", work / "out", [2], None, recursive=False, kind=PICTURES)
    settings = cluster.Settings(upscaler, WriteOptions(), pictures.MAX_PIXELS, False, shares.cpus, "0")
    line = batch.Pipeline(upscaler, batch.Workers(1, 1, 1), WriteOptions(), few=False, max_pixels=1 << 30)
    names = [cluster.names_of(job, stores) for job in plan.jobs]
    reports = [cluster.carry_out_one(line, each) for each in names]
    for what, each in (("names", names), ("reports", reports)):
        print(f"{what}: {len(cloudpickle.dumps(each)) / DIFFERENT:.0f} bytes a picture")
    print(f"settings: {len(cloudpickle.dumps(settings))} bytes a node")
    names = names * 12  # about as many as a task has
    task = nodes.remote(nothing, shares.cpus)
    for count in (2 * shares.tasks, options.tasks):  # the first start processes
        before = os.times()
        with Stopwatch() as ray:
            for _ in nodes.carry_out([names] * count, task, shares.tasks):
                pass
        after = os.times()
    own = sum(after[:2]) - sum(before[:2])
    print(f"{1e3 * ray.cpu / count:.2f} ms of CPU a task, of which the command takes {1e3 * own / count:.2f}")


def nothing(names):
    return names


def tell(local, ray, count):
    for name, each in (("local", local), ("Ray", ray)):
        rate, own = count / each.wall, 1e3 * each.cpu / count
        print(f"{name:>5}: {each.wall:.2f} s, {rate:.1f}/s; {own:.2f} ms of CPU each")
    print(f"ratio: {ray.wall / local.wall:.3f} by the clock, {ray.cpu / local.cpu:.3f} of CPUs", flush=True)


def make_pictures(folder, count):
    folder.mkdir()
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    for i in range(count):
        path = folder / f"{i:05}.png"
        if i >= DIFFERENT:
            os.link(folder / f"{i % DIFFERENT:05}.png", path)
            continue
        waves = np.stack([np.sin(x / rng.uniform(3, 40) + y / rng.uniform(3, 40)) for _ in range(3)], -1)
        samples = 128 + 90 * waves + rng.normal(0, 4, waves.shape)
        Image.fromarray(np.clip(samples, 0, 255).astype(np.uint8)).save(path)


def run(source, target, upscaler, shares, limit=None, on_half=None):
    plan, stores = cluster.planned(source, target, [2], None, recursive=False, kind=PICTURES)
    plan = plan._replace(jobs=plan.jobs[:limit])
    counts = Counter()
    for outcome in cluster.run(plan, stores, upscaler, WriteOptions(), pictures.MAX_PIXELS, shares):
        assert outcome.error is None, outcome
        counts[outcome.job.source] += 1
        if on_half and 2 * len(counts) > len(plan.jobs):
            on_half()
            on_half = None
    assert counts == Counter(job.source for job in plan.jobs)


def run_local(work, name, upscaler, limit):
    plan, _ = cluster.planned(work / "in", work / name, [2], None, recursive=False, kind=PICTURES)
    plan = plan._replace(jobs=plan.jobs[:limit])
    threads = resolve_threads(None)
    for outcome in batch.run(
        plan.jobs, upscaler, batch.Workers(-(-threads // 4), threads, threads), WriteOptions()
    ):
        assert outcome.error is None, outcome


def check_pictures(local, target, count):
    """Whether a target holds what a local folder does, to the byte, and no other; links have one result."""
    stores = Stores()
    folder = stores.add(target)
    paths = list(stores.files(folder, None, recursive=True))
    assert sorted(path.name for path in paths) == [f"{i:05}_x2.png" for i in range(count)]
    results = [(local / f"{i:05}_x2.png").read_bytes() for i in range(DIFFERENT)]
    for path in paths:
        with cluster.AtHand(stores.location(path)) as file:
            assert file.fetch().path.read_bytes() == results[int(path.name[:5]) % DIFFERENT]
    print(f"{len(paths)} files equal the local ones to the byte", flush=True)


def measure_video(work, upscaler, shares, options):
    import av
    from fsrcnn_rt import upscale_video

    (work / "in").mkdir()
    film = work / "in" / "film.mkv"
    rng = np.random.default_rng(2)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    with av.open(str(film), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for i in range(options.frames):
            grey = 128 + 60 * np.sin((x + 3 * i) / 9) + 40 * np.sin(y / 7) + rng.normal(0, 3, x.shape)
            rgb = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        container.mux(stream.encode(None))
    lossless = {"crf": 0, "preset": "ultrafast"}
    with Stopwatch() as local:
        upscale_video(film, work / "whole.mkv", 2, model=upscaler, **lossless)
    plan, stores = cluster.planned(work / "in", work / "out", [2], None, recursive=False, kind=VIDEOS)
    with Stopwatch() as ray:
        encoding = videos.Encoding(**lossless)
        (outcome,) = videos.run(plan, stores, upscaler, encoding, videos.PART, shares, print)
    assert outcome.error is None, outcome
    tell(local, ray, options.frames)
    with av.open(str(work / "whole.mkv")) as one, av.open(str(work / "out" / "film_x2.mkv")) as other:
        pairs = zip_longest(one.decode(video=0), other.decode(video=0))
        count = 0
        for left, right in pairs:
            count += 1
            assert left.pts == right.pts and left.time_base == right.time_base
            assert all(bytes(a) == bytes(b) for a, b in zip(left.planes, right.planes, strict=True))
    print(f"{count} frames and their times equal those in one piece")


class LocalNodes:
    """Nodes of a cluster on this machine."""

    def __init__(self, cluster, last):
        self._cluster, self._last = cluster, last

    def kill(self):
        self._cluster.remove_node(self._last, allow_graceful=False)
        print("a node is dead", flush=True)


@contextmanager
def ray_of(count):
    import ray
    from ray.cluster_utils import Cluster

    for name in (
        "RAY_USAGE_STATS_ENABLED",
        "RAY_worker_niceness",
    ):  # tasks run at the priority of the local batch
        os.environ.setdefault(name, "0")
    if not count:
        threads = resolve_threads(None)
        ray.init("local", **{**NODE, "num_cpus": threads}, include_dashboard=False, log_to_driver=False)
        yield None
        ray.shutdown()
        return
    made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    last = [made.add_node(**NODE) for _ in range(count - 1)][-1]
    ray.init(address=made.address, log_to_driver=False)
    try:
        yield LocalNodes(made, last)
    finally:
        ray.shutdown()
        made.shutdown()


@contextmanager
def s3():
    """Serve S3 in a process of its own, and tell everybody by the environment."""
    import socket
    import subprocess
    import sys

    import fsspec

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(keys, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        fsspec.filesystem("s3").mkdir("benchmark")
        yield "s3://benchmark"
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()

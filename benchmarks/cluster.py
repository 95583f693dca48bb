"""What a Ray cluster costs beside the local batch on the same CPUs, and what becomes of it when a node dies.

python benchmarks/cluster.py --pictures 2000 [--nodes 2] [--kill] [--s3]
"""

import argparse
import os
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import numpy as np
from fsrcnn_rt import Upscaler, pictures
from fsrcnn_rt.cluster import nodes
from fsrcnn_rt.cluster import pictures as cluster
from fsrcnn_rt.engine.runtime import resolve_threads
from fsrcnn_rt.pictures import batch
from fsrcnn_rt.pictures.encoding import WriteOptions
from fsrcnn_rt.plan import PICTURES
from PIL import Image

SIZE = (320, 240)


def main():
    options = parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="fsrcnn-rt-") as folder:
        work = Path(folder)
        make_pictures(work / "in", options.pictures)
        upscaler = Upscaler()
        start = perf_counter()
        with ray_of(options.nodes) as cluster_nodes, nodes.nodes(None, None) as shares:
            print(f"Ray up in {perf_counter() - start:.1f} s: {shares}", flush=True)
            run(work, "warm", upscaler, shares, limit=8)
            ratios = []
            for i in range(options.rounds):
                local = run_local(work, f"local{i}", upscaler)
                ray = run(
                    work, f"ray{i}", upscaler, shares, on_half=cluster_nodes.kill if options.kill else None
                )
                ratios.append(ray / local)
                print(f"local {local:.2f} s, Ray {ray:.2f} s, {ratios[-1]:.3f} of it", flush=True)
                check_equal(work / f"local{i}", work / f"ray{i}")


def parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=0, help="of one CPU each; 0: this machine as one node")
    parser.add_argument("--kill", action="store_true", help="kill the second node half way")
    return parser


def make_pictures(folder, count):
    folder.mkdir()
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    for i in range(min(count, 20)):
        waves = np.stack([np.sin(x / rng.uniform(3, 40) + y / rng.uniform(3, 40)) for _ in range(3)], -1)
        noise = rng.normal(0, 4, waves.shape)
        Image.fromarray(np.clip(128 + 90 * waves + noise, 0, 255).astype(np.uint8)).save(
            folder / f"{i:05}.png"
        )
    for i in range(20, count):
        os.link(folder / f"{i % 20:05}.png", folder / f"{i:05}.png")


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

    if not count:
        yield None
        return
    common = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=common)
    for _ in range(count - 1):
        last = made.add_node(num_cpus=1, object_store_memory=100 << 20)
    ray.init(address=made.address, log_to_driver=False, logging_level="error")
    try:
        yield LocalNodes(made, last)
    finally:
        ray.shutdown()
        made.shutdown()


def run(work, name, upscaler, shares, limit=None, on_half=None):
    plan, stores = cluster.planned(work / "in", work / name, [2], None, recursive=False, kind=PICTURES)
    plan = plan._replace(jobs=plan.jobs[:limit])
    counts = Counter()
    start = perf_counter()
    for outcome in cluster.run(plan, stores, upscaler, WriteOptions(), pictures.MAX_PIXELS, shares):
        assert outcome.error is None, outcome
        counts[outcome.job.source] += 1
        if on_half and 2 * len(counts) > len(plan.jobs):
            on_half()
            on_half = None
    seconds = perf_counter() - start
    assert counts == Counter(job.source for job in plan.jobs)
    return seconds


def run_local(work, name, upscaler):
    plan, _ = cluster.planned(work / "in", work / name, [2], None, recursive=False, kind=PICTURES)
    threads = resolve_threads(None)
    workers = batch.Workers(-(-threads // 4), threads, threads)
    start = perf_counter()
    for outcome in batch.run(plan.jobs, upscaler, workers, WriteOptions()):
        assert outcome.error is None, outcome
    return perf_counter() - start


def check_equal(one, other):
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


if __name__ == "__main__":
    main()

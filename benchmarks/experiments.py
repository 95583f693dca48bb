"""What is measured: each experiment gives one table, and is chosen by its name."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

import compare
import fsrcnn_rt
from fsrcnn_rt import Model, Upscaler
from fsrcnn_rt.evaluation.speed import REAL_TIME_FPS
from networks import SCALES, shipped
from ours import Precision, Samples, Size, fma_peak, gflops, label, prepare
from report import Row, Table
from runtimes import RUNTIMES
from timing import alternate, ratios, spread

_SIZES: tuple[Size, ...] = ((120, 120), (240, 240), (320, 240), (640, 360), (1280, 720), (1920, 1080))
_PAPER_SIZE: Size = (240, 240)


@dataclass(frozen=True)
class Options:
    """What the command line decides."""

    models: tuple[str, ...]
    size: Size
    scale: int
    threads: tuple[int, ...]  # ascending
    isa: str
    seconds: float  # per call that is timed
    precisions: tuple[Precision, ...] = get_args(Precision)  # ours
    runtimes: tuple[str, ...] = tuple(RUNTIMES)


def peers(options: Options) -> Table:
    """Every peer in float32, and in reduced precision where it has one."""
    table = Table(
        f"Against other runtimes, {label(options.size)} x{options.scale}",
        "Luma that comes and goes as float32, one picture a call, the same weights (zeros outside the "
        "picture), the same number of threads. What is computed in, the table calls precision; what is not "
        "float32 loses PSNR, on Set5 against ours in float32 (int8 is calibrated on these pictures). Every "
        'form is tried that an expert would export. "sub-pixel": the transposed convolution rewritten as '
        'a convolution and a pixel shuffle. "split": convolutions cut where only parts of them are read, so '
        'that nothing is sliced. "strided": SRCNN\'s '
        "last convolution to one channel as one of stride 4 to 16 channels and a pixel shuffle. The bicubic "
        "filter is outside: nobody adds the bicubic picture to IDN's, and SRCNN's is handed enlarged to the "
        "others, while we enlarge it every time. GFLOP/s counts the network by its definition. Every runtime "
        "has a process, where its calls take turns with ours; the ratio is the median of the ratios of all "
        "rounds, least / least that of the best rounds.",
    )
    for threads, runtime in product(options.threads, options.runtimes):
        _compare(table, options, runtime, threads, options.models, (options.isa,), options.precisions)
    table.note += _fastest(table.rows, options.threads)
    return table


def _fastest(rows: list[Row], threads: tuple[int, ...]) -> str:
    """Say which peer of every precision comes nearest to ours."""
    sentences = ""
    kinds = dict.fromkeys((row["model"], row["our precision"], row["precision"]) for row in rows)
    for (model, ours, theirs), count in product(kinds, threads):
        keys = {"model": model, "our precision": ours, "precision": theirs, "threads": count}
        those = [row for row in rows if keys.items() <= row.items()]
        if those:
            least = min(those, key=lambda row: float(row["its ms / ours"]))
            sentences += f" {model}, threads {count}: fastest peer in {theirs} {least['runtime']}, "
            sentences += f"{least['graph']}, {least['its ms / ours']:.2f} times as long as ours in {ours}."
    return sentences


def opencv(options: Options) -> Table:
    """OpenCV's dnn with its small network against our least kernels."""
    table = Table(
        f"Our least kernels against OpenCV's dnn, {label(options.size)} x{options.scale}",
        'FSRCNN-s has the shape of the "FSRCNN-small" of OpenCV\'s dnn_superres. OpenCV uses all that the '
        "processor has; our kernels are forced down to the baseline, and shown at their best beside it.",
    )
    isas = tuple(dict.fromkeys(["baseline", options.isa]))
    for threads, runtime in product(options.threads, ("opencv", "opencv classic")):
        _compare(table, options, runtime, threads, ("fsrcnn-s",), isas, ("float32",))
    return table


def isas(options: Options) -> Table:
    """Every kernel set beside the peak of its own instructions."""
    table = Table("Kernel sets", f"float32 luma, {label(options.size)} x{options.scale}.")
    sets = [isa for isa in fsrcnn_rt.available_isas() if isa != "reference"]
    for name, threads in product(options.models, options.threads):
        model = shipped(name)
        upscalers = [Upscaler(model, threads=threads, isa=isa) for isa in sets]
        calls = [prepare(upscaler, options.size, options.scale) for upscaler in upscalers]
        for isa, times in zip(sets, alternate(calls, options.seconds * len(calls)), strict=True):
            time = spread(times).median
            table.rows.append(_who(model, options.size, options.scale, threads, isa) | {"ms": 1e3 * time})
            table.rows[-1] |= _rates(model, options.scale, options.size, time, isa, threads)
    return table


def precisions(options: Options) -> Table:
    """Fixed point beside float32, with every kernel set."""
    table = Table(
        "Precisions",
        f"Whole calls, x{options.scale}: the same picture by float32 and by int16, which take turns; how "
        "many times as fast int16 is, the median of all rounds and its quartiles.",
    )
    cases: tuple[tuple[Size, Samples], ...] = ((options.size, "luma uint8"), ((640, 360), "RGB uint8"))
    sets = [isa for isa in fsrcnn_rt.available_isas() if isa != "reference"]
    for name, (size, samples), isa, count in product(options.models, cases, sets, options.threads):
        model = shipped(name)
        if not model.architecture.is_chain:
            table.skipped.append(f"{name}: has no fixed point")
            continue
        floats, fixed = alternate(
            [
                prepare(
                    Upscaler(model, threads=count, isa=isa, precision=precision), size, options.scale, samples
                )
                for precision in get_args(Precision)
            ],
            2 * options.seconds,
        )
        ratio = spread(ratios(floats, fixed))
        table.rows.append(
            _who(model, size, options.scale, count, isa)
            | {
                "samples": samples,
                "float32 ms": 1e3 * spread(floats).median,
                "int16 ms": 1e3 * spread(fixed).median,
                "times as fast": ratio.median,
                "quartiles": f"{ratio.low:.2f} - {ratio.high:.2f}",
            }
        )
    return table


def threads(options: Options) -> Table:
    """How more threads help us, and how they help a loop that touches no memory."""
    table = Table(
        "Threads",
        "float32 luma. The speed-up is the median over rounds that take turns; the peak's is that of a "
        "multiply-add loop in registers, so it is what the machine allows.",
    )
    most = options.threads[-1]
    if most == 1:
        table.skipped.append("threads: there is one")
        return table
    for name, size in product(options.models, (_PAPER_SIZE, (640, 360))):
        model = shipped(name)
        calls = [
            prepare(Upscaler(model, threads=count, isa=options.isa), size, options.scale)
            for count in (1, most)
        ]
        one, many = alternate(calls, 2 * options.seconds)
        speedup = spread(ratios(one, many))
        peaks = [fma_peak(options.isa, count) for count in (1, most)]
        peak_speedup = peaks[1] / peaks[0] if peaks[0] and peaks[1] else None
        table.rows.append(
            _who(model, size, options.scale, most, options.isa)
            | {
                "ms on 1": 1e3 * spread(one).median,
                "ms": 1e3 * spread(many).median,
                "speed-up": speedup.median,
                "quartiles": f"{speedup.low:.2f} - {speedup.high:.2f}",
                "peak's speed-up": peak_speedup,
                "share": speedup.median / peak_speedup if peak_speedup else None,
            }
        )
    return table


def sizes(options: Options) -> Table:
    """Time per input pixel, from small to large."""
    table = Table(
        "Sizes",
        f"float32 luma x2, time per input pixel. Every size takes turns with {label(_PAPER_SIZE)}, to which "
        "the last column compares it.",
    )
    count = options.threads[-1]
    for name, size in product(options.models, _SIZES):
        model = shipped(name)
        upscaler = Upscaler(model, threads=count, isa=options.isa)
        calls = [prepare(upscaler, case, 2) for case in (_PAPER_SIZE, size)]
        reference, times = alternate(calls, 2 * options.seconds)
        time = spread(times).median
        area = size[0] * size[1] / (_PAPER_SIZE[0] * _PAPER_SIZE[1])
        table.rows.append(
            _who(model, size, 2, count, options.isa)
            | {
                "ms": 1e3 * time,
                "ns per pixel": 1e9 * time / (size[0] * size[1]),
                "GFLOP/s": gflops(model, 2, size, time),
                f"to {label(_PAPER_SIZE)}": spread(ratios(times, reference)).median / area,
            }
        )
    return table


def rgb(options: Options) -> Table:
    """What colour costs beyond luma."""
    size, scale = (640, 360), 3
    table = Table(
        "Colour",
        f"uint8, {label(size)} to {label((scale * size[0], scale * size[1]))}: conversion to luma and back "
        "and the bicubic interpolation of chroma, per output pixel.",
    )
    count = options.threads[-1]
    for name in options.models:
        model = shipped(name)
        upscaler = Upscaler(model, threads=count, isa=options.isa)
        luma, colour = alternate(
            [prepare(upscaler, size, scale, "luma uint8"), prepare(upscaler, size, scale, "RGB uint8")],
            2 * options.seconds,
        )
        pixels = size[0] * size[1] * scale * scale
        extra = spread([1e9 * (b - a) / pixels for a, b in zip(luma, colour, strict=True)])
        table.rows.append(
            _who(model, size, scale, count, options.isa)
            | _of_8_bits(upscaler)
            | {
                "luma ms": 1e3 * spread(luma).median,
                "RGB ms": 1e3 * spread(colour).median,
                "extra ns per output pixel": extra.median,
                "quartiles": f"{extra.low:.2f} - {extra.high:.2f}",
            }
        )
    return table


def finish(options: Options) -> Table:
    """What follows the network, switched on one by one, against the network alone."""
    size, scale = (1280, 720), 2
    table = Table(
        "Guard, strength and colour",
        f"RGB uint8, {label(size)} to {label((scale * size[0], scale * size[1]))}: times as long as without "
        "guard and with bicubic chroma, which takes turns with all others.",
    )
    plain = {"guard": False, "colour": "bicubic"}
    changes: dict[str, dict[str, Any]] = {
        "guard": {"guard": True},
        "guided chroma": {"colour": "guided"},
        "both, as by default": {"guard": True, "colour": "guided"},
        "these at strength 0.5": {"guard": True, "colour": "guided", "strength": 0.5},
        "network on R, G, B": {"guard": True, "colour": "rgb"},
    }
    count = options.threads[-1]
    for name in options.models:
        model = shipped(name)
        upscalers = [
            Upscaler(model, threads=count, isa=options.isa, **(plain | change))
            for change in ({}, *changes.values())
        ]
        calls = [prepare(upscaler, size, scale, "RGB uint8") for upscaler in upscalers]
        without, *others = alternate(calls, options.seconds * len(calls))
        for change, times in zip(changes, others, strict=True):
            ratio = spread(ratios(times, without))
            table.rows.append(
                _who(model, size, scale, count, options.isa)
                | _of_8_bits(upscalers[0])
                | {"with": change, "ms": 1e3 * spread(times).median, "times as long": ratio.median}
                | {"quartiles": f"{ratio.low:.3f} - {ratio.high:.3f}"}
            )
    return table


def frames(options: Options) -> Table:
    """Pictures of video sizes, end to end."""
    table = Table("Frames", f"RGB uint8, end to end; real time is {REAL_TIME_FPS:g} frames per second.")
    count = options.threads[-1]
    cases: tuple[tuple[Size, int], ...] = (((640, 360), 3), ((1280, 720), 2), ((1920, 1080), 2))
    for name, (size, scale), precision in product(options.models, cases, get_args(Precision)):
        model = shipped(name)
        if precision == "int16" and not model.architecture.is_chain:
            continue
        upscaler = Upscaler(model, threads=count, isa=options.isa, precision=precision)
        (times,) = alternate([prepare(upscaler, size, scale, "RGB uint8")], options.seconds)
        time = spread(times)
        table.rows.append(
            _who(model, size, scale, count, options.isa)
            | _of_8_bits(upscaler)
            | {
                "output": label((scale * size[0], scale * size[1])),
                "ms": 1e3 * time.median,
                "fps": 1 / time.median,
                "quartiles": f"{1 / time.high:.1f} - {1 / time.low:.1f}",
                "real time": 1 / time.median >= REAL_TIME_FPS,
            }
            | _rates(model, scale, size, time.median, options.isa, count)
        )
    return table


def flight(options: Options) -> Table:
    """Several frames at a time, one thread each, against one frame at a time on all threads."""
    table = Table(
        "Frames in flight",
        "RGB uint8. As many frames at a time as there are threads, each on one, and one frame after the "
        "other on all: time per frame. The former gives more frames per second, each later.",
    )
    count = options.threads[-1]
    if count == 1:
        table.skipped.append("flight: there is one thread")
        return table
    for name, size in product(options.models, (_PAPER_SIZE, (640, 360))):
        model = shipped(name)
        whole = Upscaler(model, threads=count, isa=options.isa)
        single = Upscaler(model, threads=1, isa=options.isa)
        several = [prepare(single, size, options.scale, "RGB uint8") for _ in range(count)]
        with ThreadPoolExecutor(count) as pool:
            one, many = alternate(
                [
                    prepare(whole, size, options.scale, "RGB uint8"),
                    lambda: [task.result() for task in [pool.submit(call) for call in several]],  # noqa: B023
                ],
                2 * options.seconds,
            )
        gain = spread(ratios([count * time for time in one], many))
        table.rows.append(
            _who(model, size, options.scale, count, options.isa)
            | _of_8_bits(whole)
            | {
                "one after the other ms": 1e3 * spread(one).median,
                "in flight ms": 1e3 * spread(many).median / count,
                "gain": gain.median,
                "quartiles": f"{gain.low:.2f} - {gain.high:.2f}",
            }
        )
    return table


def scales(options: Options) -> Table:
    """Three scales in one pass against three calls."""
    table = Table(
        "Three scales in one pass",
        "float32 luma. A network without a head cannot be run, so its head is taken to cost what it adds to "
        "a pass for the two other scales; the trunk is what remains of the scale's own call, the mean over "
        "the three scales. One pass saves two trunks where nothing else differs.",
    )
    count = options.threads[-1]
    passes: list[int | tuple[int, ...]] = [*SCALES, SCALES, (3, 4), (2, 4), (2, 3)]
    for name in options.models:
        model = shipped(name)
        upscaler = Upscaler(model, threads=count, isa=options.isa)
        calls = [prepare(upscaler, options.size, case) for case in passes]
        times = alternate(calls, len(calls) * options.seconds)
        # Round by round, since the differences are small beside what changes between rounds.
        single, one_pass, without = times[:3], times[3], times[4:]
        three = [sum(turn) for turn in zip(*single, strict=True)]
        others = [sum(turn) for turn in zip(*without, strict=True)]
        trunk = spread([(a + b) / 3 - c for a, b, c in zip(three, others, one_pass, strict=True)])
        saving = spread([a - b for a, b in zip(three, one_pass, strict=True)])
        row = _who(model, options.size, "2, 3, 4", count, options.isa)
        for scale, samples in zip(SCALES, single, strict=True):
            row[f"x{scale} ms"] = 1e3 * spread(samples).median
        table.rows.append(
            row
            | {
                "three calls ms": 1e3 * spread(three).median,
                "one pass ms": 1e3 * spread(one_pass).median,
                "one / three": spread(ratios(one_pass, three)).median,
                "saving ms": 1e3 * saving.median,
                "trunk ms": 1e3 * trunk.median,
                "its quartiles": f"{1e3 * trunk.low:.2f} - {1e3 * trunk.high:.2f}",
                "saving / two trunks": saving.median / (2 * trunk.median),
            }
        )
    return table


EXPERIMENTS: dict[str, Callable[[Options], Table]] = {
    "peers": peers,
    "opencv": opencv,
    "isas": isas,
    "precisions": precisions,
    "threads": threads,
    "sizes": sizes,
    "rgb": rgb,
    "finish": finish,
    "frames": frames,
    "flight": flight,
    "scales": scales,
}
# Of what is measured where no model is named.
MODELS = ("fsrcnn", "fsrcnn-s")


def _compare(
    table: Table,
    options: Options,
    runtime: str,
    threads: int,
    models: tuple[str, ...],
    isas: tuple[str, ...],
    precisions: tuple[Precision, ...],
) -> None:
    job = compare.Job(
        runtime, models, options.size, options.scale, threads, isas, precisions, options.seconds
    )
    outcome = compare.run(job)
    table.rows += outcome.rows
    table.skipped += [reason for reason in outcome.skipped if reason not in table.skipped]


def _who(model: Model, size: Size, scale: int | str, threads: int, isa: str) -> Row:
    return {"model": model.name, "input": label(size), "scale": scale, "threads": threads, "isa": isa}


def _of_8_bits(upscaler: Upscaler) -> Row:
    return {"precision": upscaler.precision_for("uint8")}


def _rates(model: Model, scale: int, size: Size, time: float, isa: str, threads: int) -> Row:
    rate = gflops(model, scale, size, time)
    peak = fma_peak(isa, threads)
    return {"GFLOP/s": rate, "peak GFLOP/s": peak, "share": rate / peak if peak else None}

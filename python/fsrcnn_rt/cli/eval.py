"""``fsrcnn-rt eval``: tables of PSNR and SSIM, and sheets of crops, as the papers have them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fsrcnn_rt.cli.arguments import (
    MODEL_WORDS,
    ArgumentParser,
    add_engine_options,
    check_output,
    complain,
    engine_of,
)
from fsrcnn_rt.engine.upscaler import Upscaler
from fsrcnn_rt.evaluation import tables
from fsrcnn_rt.evaluation.protocol import (
    BICUBIC,
    DatasetError,
    Methods,
    UpscaleLuma,
    bicubic,
    evaluate,
    list_originals,
)
from fsrcnn_rt.files import VIDEO_SUFFIXES, atomic_write, is_video
from fsrcnn_rt.model import NETWORKS, SCALES

if TYPE_CHECKING:
    from fsrcnn_rt.evaluation import robustness


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt eval``; returns 0, or 1 if a picture failed.

    Raises ``ValueError`` or ``OSError`` for what is wrong with the arguments, before any work.
    """
    options = parser().parse_args(argv)
    outputs = _check_outputs(options)
    for folder in options.folders:
        if options.folders.count(folder) > 1:
            raise ValueError(f"{folder}: is given twice")
    if options.suite:
        return _run_suite(options, outputs)
    if not options.folders:
        raise ValueError("FOLDER: needs one at least, or --suite")
    images = {folder: list_originals(folder) for folder in options.folders}
    models = _models(options.models or ["fsrcnn"], options)
    methods = _methods(models, options.scales)
    crops = []
    sheet = outputs.get(".png")
    if options.crop and not sheet:
        raise ValueError("--crop: is what a sheet shows, and there is none (-o sheet.png)")
    if sheet:
        from fsrcnn_rt.evaluation.sheet import find_crop

        if not options.crop:
            raise ValueError(f"{sheet}: a sheet needs at least one --crop=PICTURE:WxH+X+Y")
        every = [path for paths in images.values() for path in paths]
        crops = [find_crop(crop, every, options.scales) for crop in options.crop]

    failed = []

    def on_error(path: Path, error: Exception) -> None:
        failed.append(path)
        _complain(path, error)

    named = _labelled(images)
    results = _evaluate(methods, named, options.ifc, on_error)
    upscaler = next(iter(models.values()))
    columns = (results, options.scales, _machine(upscaler))
    rows = {"verbose": options.verbose, "with_ifc": options.ifc}
    as_json = partial(tables.as_json, results, upscaler)
    _write(outputs, ".md", partial(tables.as_markdown, *columns, **rows))
    _write(outputs, ".json", as_json)
    print(as_json() if options.json else tables.as_text(*columns, **rows))
    if sheet:
        from fsrcnn_rt.evaluation.sheet import draw

        with atomic_write(sheet) as file:
            draw(crops, methods).save(file, "PNG", optimize=True)
    return 1 if failed else 0


def _run_suite(options: argparse.Namespace, outputs: Mapping[str, Path]) -> int:
    """Measure what is no clean photograph; returns the exit code."""
    from fsrcnn_rt.evaluation import robustness, robustness_table

    for name, given in {"--ifc": options.ifc, "--crop": options.crop}.items():
        if given:
            raise ValueError(f"{name}: not with --suite")
    if options.suite == "drawings" and options.folders:
        raise ValueError(f"{options.folders[0]}: --suite drawings takes no folders")
    sources = _sources(options)
    models = _models(options.models or ["fsrcnn"], options)
    methods = {
        scale: {name: _of_case(models[name]) for name in by_name if name != BICUBIC}
        for scale, by_name in _methods(models, options.scales).items()
    }
    results, failed = _measure(sources, methods, options.scales, drawings=options.suite != "photographs")
    if not results:
        return 1
    upscaler = next(iter(models.values()))
    arguments = (results, options.scales, options.verbose)

    def as_json() -> str:
        return json.dumps(tables.machine(upscaler) | robustness_table.as_json(results), indent=1)

    _write(outputs, ".md", lambda: f"{robustness_table.as_markdown(*arguments)}; {_machine(upscaler)}")
    _write(outputs, ".json", as_json)
    print(as_json() if options.json else f"{robustness_table.as_text(*arguments)}\n{_machine(upscaler)}")
    if sheet := outputs.get(".png"):
        from fsrcnn_rt.evaluation.sheet import draw_cases

        photographs = [path for paths in sources.values() for path in paths if not is_video(path.name)]
        shown = robustness.shown_cases(options.scales[0], photographs[-1] if photographs else None)
        with atomic_write(sheet) as file:
            draw_cases(shown, methods).save(file, "PNG", optimize=True)
    return 1 if failed else 0


def _of_case(upscaler: Upscaler) -> robustness.Upscale:
    """Upscale a case by the weights that it gets: by its JPEG tables, its quantiser, or its pixels."""

    def upscale(case: robustness.Case) -> npt.NDArray[np.floating[Any]]:
        chosen = upscaler.choose(case.lr if case.file is None else case.file, qp=case.qp)
        return chosen.upscale(case.lr, case.scale)

    return upscale


def _sources(options: argparse.Namespace) -> dict[str, list[Path]]:
    """List photographs and clips by the name of their folder.

    Raises ``DatasetError`` for a folder without any, and where there is nothing else to measure.
    """
    if options.suite == "drawings":
        return {}
    folders = options.folders
    if not folders:
        data = Path(os.environ.get("FSRCNN_RT_DATA") or "data")
        folders = [folder for folder in (data / "Set14", data / "video") if folder.is_dir()]
        missing = f"no Set14 or video in {data} (FSRCNN_RT_DATA names another folder)"
        if not folders and options.suite == "photographs":
            raise DatasetError(f"FOLDER: none is given, and {missing}")
        if not folders:
            complain(f"eval: photographs are left out: {missing}")
    return _labelled({folder: list_originals(folder, also=VIDEO_SUFFIXES) for folder in folders})


def _measure(
    sources: Mapping[str, Sequence[Path]],
    methods: robustness.Methods,
    scales: Sequence[int],
    *,
    drawings: bool,
) -> tuple[list[robustness.Result], list[Path]]:
    """Measure drawings, photographs and clips, with a progress bar where stderr is a terminal.

    Returns the results and what failed. Without PyAV what is of H.264 is left out, and that is offers.
    """
    from tqdm import tqdm  # type: ignore[import-untyped]

    from fsrcnn_rt.evaluation import robustness

    with_h264 = find_spec("av") is not None
    if sources and not with_h264:
        complain("eval: H.264 is left out: needs PyAV, pip install 'fsrcnn-rt[video]'")
    parts: list[tuple[Path | None, Iterator[robustness.Case]]] = []
    if drawings:
        parts += [(None, robustness.drawing_cases([scale])) for scale in scales]
    for name, paths in sources.items():
        for path in paths:
            if not is_video(path.name):
                cases = robustness.photograph_cases(path, f"photographs, {name}", scales, with_h264=with_h264)
                parts.append((path, cases))
            elif with_h264:
                parts.append((path, robustness.clip_cases(path, f"clips, {name}", scales)))
    results: list[robustness.Result] = []
    failed = []
    with tqdm(parts, unit="part", disable=not sys.stderr.isatty(), leave=False) as bar:
        for path, cases in bar:
            try:
                results += list(robustness.measure(cases, methods))
            except (OSError, ValueError) as error:
                if path is None:
                    raise
                failed.append(path)
                with bar.external_write_mode(sys.stderr):
                    _complain(path, error)
    return results, failed


def _complain(path: Path, error: Exception) -> None:
    complain(f"eval: {error}" if isinstance(error, DatasetError) else f"eval: {path}: {error}")


def _labelled(images: Mapping[Path, list[Path]]) -> dict[str, list[Path]]:
    labels = _short([str(folder) for folder in images], _set_name)
    return {labels[str(folder)]: paths for folder, paths in images.items()}


def _set_name(folder: Path) -> str:
    """Name a set by its folder, with the folder above where the large pictures have one of their own."""
    folder = folder.resolve()
    own = folder.name == "HR" or folder.name.startswith("image_SRF_")
    return f"{folder.parent.name}/{folder.name}" if own else folder.name


def _machine(upscaler: Upscaler) -> str:
    line = "fsrcnn-rt {version}, kernels {isa}, {precision}, threads {threads}"
    return line.format_map(tables.machine(upscaler))


def _check_outputs(options: argparse.Namespace) -> dict[str, Path]:
    """List what is to be written, by suffix, having refused what cannot be."""
    outputs: dict[str, Path] = {}
    for path in options.outputs:
        suffix = path.suffix.lower()
        if suffix not in (".md", ".json", ".png"):
            raise ValueError(f"{path}: {path.suffix or 'no suffix'!r} is none of .md, .json and .png")
        if suffix in outputs:
            raise ValueError(f"{path}: is the second output of its kind, beside {outputs[suffix]}")
        for source in [*options.folders, *map(Path, options.models or ())]:
            check_output(path, options.overwrite, source)
        outputs[suffix] = path
    return outputs


def _models(names: Sequence[str], options: argparse.Namespace) -> dict[str, Upscaler]:
    """Make models ready, by what they are called in the tables."""
    chosen: dict[str, Any] = {"content": "auto", "denoise": "auto"} if options.suite else {}
    chosen |= {
        name: value for name in ("content", "denoise") if (value := getattr(options, name)) is not None
    }
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"model={name!r} is given twice")
    labels = _short(names, lambda path: path.stem, BICUBIC)
    none = {"content": "photo", "denoise": 0}  # as weights of their own have no others beside them
    return {
        labels[name]: engine_of(options, model=name, **none | (chosen if name in NETWORKS else {}))
        for name in names
    }


def _short(names: Sequence[str], shorten: Callable[[Path], str], *taken: str) -> dict[str, str]:
    """Find a label for each name: a short one, if that tells all of them apart."""
    short = [shorten(Path(name)) for name in names]
    unique = len({*short, *taken}) == len(short) + len(taken)
    return dict(zip(names, short if unique else names, strict=True))


def _methods(models: dict[str, Upscaler], scales: Sequence[int]) -> Methods:
    """Find who takes part at which scale: bicubic, and each model that offers it."""
    methods: dict[int, dict[str, UpscaleLuma]] = {}
    for scale in scales:
        offering = {name: model.upscale for name, model in models.items() if scale in model.scales}
        if not offering:
            offers = "; ".join(f"{n} offers {', '.join(map(str, m.scales))}" for n, m in models.items())
            raise ValueError(f"scale={scale} is not offered by any model: {offers}")
        methods[scale] = {BICUBIC: bicubic, **offering}
    for name, model in models.items():
        if not set(model.scales) & set(scales):
            offered = ", ".join(map(str, model.scales))
            raise ValueError(f"model={name!r} offers none of the scales asked for, only {offered}")
    return methods


def _evaluate(
    methods: Methods,
    images: Mapping[str, Sequence[Path]],
    with_ifc: bool,
    on_error: Callable[[Path, Exception], None],
) -> tables.Tables:
    """Evaluate folder by folder, with a progress bar where stderr is a terminal."""
    from tqdm import tqdm

    total = sum(map(len, images.values()))
    with tqdm(total=total, unit="image", disable=not sys.stderr.isatty(), leave=False) as bar:

        def counted(paths: Iterable[Path]) -> Iterator[Path]:
            for path in paths:
                yield path
                bar.update()

        def complained(path: Path, error: Exception) -> None:
            with bar.external_write_mode(sys.stderr):
                on_error(path, error)

        return {
            name: evaluate(methods, counted(paths), with_ifc=with_ifc, on_error=complained)
            for name, paths in images.items()
        }


def _write(outputs: Mapping[str, Path], suffix: str, text: Callable[[], str]) -> None:
    """Write a text to the output of this suffix, if there is one."""
    if suffix in outputs:
        with atomic_write(outputs[suffix]) as file:
            file.write(f"{text()}\n".encode())


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt eval``."""
    parser = ArgumentParser(
        prog="fsrcnn-rt eval",
        description="PSNR and SSIM of models and of bicubic on folders of pictures, as the papers measure.",
        epilog="A scale has small pictures of its own, so convolutions run for each; models share them.",
    )
    add = parser.add_argument
    add("folders", metavar="FOLDER", type=Path, nargs="*", help="pictures to shrink, upscale and compare")
    add(
        "--suite",
        choices=("robust", "drawings", "photographs"),
        help="instead: lines, text and other drawings, and photographs and clips coded or noisy (robust), or "
        "one of both; FOLDERs may hold clips (default: Set14, video in FSRCNN_RT_DATA, else ./data)",
    )
    add(
        "-s",
        "--scale",
        dest="scales",
        type=_scales,
        default=[3],
        metavar="N[,N]",
        complete=SCALES,
        help="2,3,4 (default: 3)",
    )
    add(
        *("-m", "-n", "--model"),
        dest="models",
        type=_names,
        action="extend",
        metavar="MODEL[,MODEL]",
        complete=MODEL_WORDS,
        help="fsrcnn (default), fsrcnn-s or a file; repeatable",
    )
    add_engine_options(
        add,
        but=["model", "colour"],
        content=None,
        denoise=None,
        when=", with --suite; else clean photographs'",
        precision="auto, which is float32, as small pictures stay float",
    )
    add("-v", "--verbose", action="store_true", help="every picture, not the mean alone")
    add("--ifc", action="store_true", help="the information fidelity criterion as well (slow)")
    add(
        *("-o", "--output"),
        dest="outputs",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="write the tables (.md), means and every picture (.json), or crops side by side (.png)",
    )
    add("--json", action="store_true", help="print JSON instead of tables")
    add(
        "--crop",
        action="append",
        default=[],
        metavar="PICTURE:WxH+X+Y",
        help="what the crops show: a rectangle of a picture, in its pixels; repeatable",
    )
    add("--overwrite", action="store_true", help="replace outputs that exist")
    return parser


def _scales(text: str) -> list[int]:
    parts = text.split(",")
    if any(part not in map(str, SCALES) for part in parts) or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not 2, 3 or 4, or several of them with commas")
    return [int(part) for part in parts]


def _names(text: str) -> list[str]:
    names = [text] if Path(text).exists() else text.split(",")
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a model, nor several of them with commas")
    return names

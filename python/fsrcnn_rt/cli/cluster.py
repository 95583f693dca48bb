"""``fsrcnn-rt cluster``: pictures and video of a folder, on many machines."""

from collections.abc import Sequence
from contextlib import closing

from fsrcnn_rt.cli.arguments import (
    FILES,
    ArgumentParser,
    add_engine_options,
    add_goal_options,
    add_naming_options,
    complain,
    engine_of,
    goals_asked,
    naming_asked,
)
from fsrcnn_rt.cli.process import last_words
from fsrcnn_rt.cli.upscale import (
    add_reading_options,
    add_report_options,
    add_writing_options,
    write_options_asked,
)
from fsrcnn_rt.cli.video import ENCODER_OPTIONS, add_encoder_options
from fsrcnn_rt.engine.sizes import PICTURE_SCALE, VIDEO_SCALE
from fsrcnn_rt.files import PIPE
from fsrcnn_rt.files import is_video as names_video


def main(argv: Sequence[str]) -> int:
    """Run the command; returns 0, or 1 where some input failed.

    Raises ``UsageError`` or ``ValueError`` for what is wrong with the arguments, before any work.
    """
    options = parser().parse_args(argv)
    is_video = options.video or (options.source != PIPE and names_video(options.source))
    goals = goals_asked(options, VIDEO_SCALE if is_video else PICTURE_SCALE)
    if is_video and len(goals) > 1:
        raise ValueError(f"scale={options.scale!r} is several, and of video one at a time is made")
    if options.part < 1:
        raise ValueError(f"part={options.part} is not 1 or more")
    naming = naming_asked(options)
    upscaler = engine_of(options)

    from fsrcnn_rt.cli.report import Report
    from fsrcnn_rt.cluster import nodes, pictures, videos
    from fsrcnn_rt.plan import PICTURES, VIDEOS

    encoding = videos.Encoding(**{name: getattr(options, name) for name in ENCODER_OPTIONS})
    encoding.check()
    kind = VIDEOS if is_video else PICTURES
    plan, stores = pictures.planned(
        options.source, options.output, goals, naming, recursive=options.recursive, kind=kind
    )
    with last_words(), nodes.nodes(options.address, options.cpus) as cluster:
        report = Report(
            plan,
            quiet=options.quiet,
            verbose=options.verbose,
            json_lines=options.json,
            summary=True,
            name=stores.name,
            unit="video" if is_video else "image",
        )
        if is_video:
            outcomes = videos.run(plan, stores, upscaler, encoding, options.part, cluster, complain)
        else:
            asked = write_options_asked(options)
            outcomes = pictures.run(plan, stores, upscaler, asked, options.max_pixels, cluster)
        with report, closing(outcomes):
            for outcome in outcomes:
                report.progress(outcome.job, 1.0)
                report.add(outcome)
    return 1 if report.failed else 0


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt cluster``."""
    parser = ArgumentParser(
        prog="fsrcnn-rt cluster",
        usage="fsrcnn-rt cluster [options] SOURCE TARGET",
        description="Upscale the pictures, or videos, of a folder into another, on the machines of a Ray "
        "cluster. Both are folders that all machines see, or URLs such as s3://bucket/folder.",
        epilog="Exit codes: 0 done, 1 some input failed, 2 wrong usage and nothing done, 130 interrupted.",
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", complete=[FILES], help="folder or URL that is read")
    add("output", metavar="TARGET", complete=[FILES], help="folder or URL that gets a mirrored tree")
    add("--video", action="store_true", help="upscale its videos (default: its pictures)")
    add("-r", "--recursive", action="store_true", help="what is in all folders below, too")
    add(
        "--address",
        metavar="HOST:PORT",
        help="of a Ray cluster, or auto (default: this machine alone)",
    )
    add("--cpus", type=int, metavar="N", help="CPUs of a task (default: what shares out the nodes, up to 8)")
    add_naming_options(add, ("png", "jpg", "webp", "avif", "tiff", "mp4", "mkv"), but=["output"])
    add_goal_options(add, PICTURE_SCALE, several=True)
    add_engine_options(add, but=["threads"])
    add_report_options(add)
    add = parser.add_argument_group("pictures").add_argument
    add_reading_options(add)
    add_writing_options(add)
    add = parser.add_argument_group("video (x2 by default)").add_argument
    add("--part", type=int, default=240, metavar="N", help="frames of a part at least (default: 240)")
    add_encoder_options(add)
    return parser

"""``fsrcnn-rt info``: what is installed and what this machine offers."""

from collections.abc import Sequence

from fsrcnn_rt.cli.arguments import ArgumentParser


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt info``; returns 0. Raises ``ValueError`` where the environment asks for what is not."""
    parser().parse_args(argv)
    import fsrcnn_rt
    from fsrcnn_rt.engine.runtime import available_isas, resolve_isa, resolve_threads
    from fsrcnn_rt.errors import ModelError
    from fsrcnn_rt.model import NETWORKS, SHIPPED, load

    isa, threads = resolve_isa(None), resolve_threads(None)
    print(f"fsrcnn-rt {fsrcnn_rt.__version__}")
    print(f"isa       {isa} (available: {', '.join(available_isas())})")
    print(f"threads   {threads}")
    for name in SHIPPED:
        try:
            model = load(name)
            provenance = model.provenance
            details = [f"trained on {', '.join(provenance['data'])}, seed {provenance['seed']}"]
            for what, values in provenance["figures"].items():
                figures = ", ".join(f"{scale} {value:.2f}" for scale, value in sorted(values.items()))
                details.append(f"{what}: {figures}")
            if name in NETWORKS:
                scales = ", ".join(f"x{scale}" for scale in model.scales)
                print(f"model     {name}: {model.family}, {scales}")
                print(*(f"{'':10}{line}" for line in details), sep="\n")
            else:
                print(f"{'':10}{name}: {'; '.join(details)}")
        except ModelError as error:
            print(f"model     {name}: {error}")
    return 0


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt info``."""
    description = "Print what is installed and what this machine offers."
    return ArgumentParser(prog="fsrcnn-rt info", description=description)

"""What a network is called, of whichever family it is."""

from fsrcnn_rt.model import fsrcnn, idn, srcnn
from fsrcnn_rt.model.network import Architecture

_FAMILIES = (fsrcnn, srcnn, idn)


def described(network: Architecture) -> tuple[str | None, str]:
    """Return the family, None where it is none of ours, and the name with its shape."""
    for family in _FAMILIES:
        name = family.name_of(network)
        if name is not None:
            return family.FAMILY, name
    count = len(network.nodes)
    return None, f"network of {count} convolution{'s' * (count > 1)}"

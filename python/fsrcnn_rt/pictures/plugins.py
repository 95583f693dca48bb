"""Formats of optional packages: HEIC and JPEG XL, which plugins add to Pillow, and camera raw.

A package is imported when a file of its format is met, and not before.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from fsrcnn_rt.errors import what_is_missing
from fsrcnn_rt.pictures import jxl

#: Camera raw, as dcraw and LibRaw read it.
RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos"}
    | {".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)


class _Plugin(NamedTuple):
    """A package that adds a format to Pillow, by itself on import or by ``register``."""

    package: str
    suffixes: frozenset[str]
    is_begin: Callable[[bytes], bool]
    register: str | None = None


_PLUGINS = (
    _Plugin(
        "pillow_heif",
        frozenset((".heic", ".heics", ".heif", ".heifs", ".hif")),
        # The brands of AVIF, which is as it is Pillow's own, are others.
        lambda head: head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif", b"msf"),
        "register_heif_opener",
    ),
    _Plugin("pillow_jxl", frozenset((".jxl",)), jxl.is_begin),
)

# What the longest magic number takes, in bytes.
_HEAD = 16


def is_raw(path: Path) -> bool:
    """Whether a file of this name is camera raw."""
    return path.suffix.lower() in RAW_SUFFIXES


def is_optional(path: Path) -> bool:
    """Whether a picture of this name takes an optional package."""
    return is_raw(path) or _by_suffix(path) is not None


def register(path: Path) -> None:
    """Have Pillow know the format that a suffix stands for.

    ``ModuleNotFoundError`` says how its package is installed.
    """
    plugin = _by_suffix(path)
    if plugin is not None:
        _register(plugin)


def register_by_content(path: Path) -> bool:
    """As :func:`register`, by how the file begins; whether there is a plugin for it."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    for plugin in _PLUGINS:
        if plugin.is_begin(head):
            _register(plugin)
            return True
    return False


def load(package: str) -> Any:
    """Import an optional package; ``ModuleNotFoundError`` says how it is installed."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(what_is_missing(error), name=error.name) from error


def _by_suffix(path: Path) -> _Plugin | None:
    suffix = path.suffix.lower()
    return next((plugin for plugin in _PLUGINS if suffix in plugin.suffixes), None)


def _register(plugin: _Plugin) -> None:
    module = load(plugin.package)
    if plugin.register:
        getattr(module, plugin.register)()

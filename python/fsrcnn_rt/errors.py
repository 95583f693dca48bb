"""The package's own exceptions, and how errors are told.

The library raises ``ModelError`` and ``ScaleError``; everything else is a ``TypeError``, ``ValueError`` or
``OSError``. ``UsageError`` and ``CommandError`` are for the command line.
"""

from unicodedata import category

# Optional packages, by what is imported, and the extra that has each.
_EXTRAS = {"onnx": "export", "torch": "train", "tomli": "train"}
_EXTRAS |= {"ray": "cluster", "fsspec": "cluster"}
_EXTRAS |= {"pillow_heif": "heif", "pillow_jxl": "jxl", "rawpy": "raw"}


# Unicode's categories of controls, formats, surrogates, and separators of lines and paragraphs.
_NOT_SHOWN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"


class ModelError(ValueError):
    """A model name, model file or :class:`~fsrcnn_rt.Model` that cannot be used; the message says why."""


class ScaleError(ValueError):
    """A scale that cannot be had; the message says which can."""


class UsageError(Exception):
    """The command cannot be carried out as it was given."""


class CommandError(Exception):
    """The command was right, and what it was to do has failed."""


def printable(text: str) -> str:
    """Escape what a terminal takes for more than text, as names of files and metadata may hold it.

    These are controls and ends of lines, what turns the direction of writing or is not seen, and bytes that
    were no text. What only joins letters and emoji stays.
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if category(character) in _NOT_SHOWN and character not in _JOINERS
        else character
        for character in text
    )


def one_line(error: BaseException) -> str:
    """Say what went wrong; of an ``OSError`` without the number and the path, which the callers name."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def what_is_missing(error: ModuleNotFoundError) -> str:
    """Say which optional package is needed and how it is installed; raise ``error`` for any other module."""
    package = str(error.name).split(".")[0]
    if package not in _EXTRAS:
        raise error
    return f"needs {package}, which is not installed: pip install 'fsrcnn-rt[{_EXTRAS[package]}]'"


def brief(value: object, length: int = 200) -> str:
    """Show a value in an error, of whatever length and depth it is."""
    try:
        shown = repr(value[: length + 1] if isinstance(value, str) else value)
    except (RecursionError, ValueError):  # ValueError: of an integer of thousands of digits
        return f"a {type(value).__name__}"
    return shown if len(shown) <= length else f"{shown[:length]}..."

"""The package's own exceptions. Everything else is a ``TypeError``, ``ValueError`` or ``OSError``."""


class ModelError(ValueError):
    """A model name, model file or :class:`~fsrcnn_rt.Model` that cannot be used; the message says why."""


class ScaleError(ValueError):
    """A scale that cannot be had; the message says which can."""

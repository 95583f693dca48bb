"""The package's own exceptions. Everything else is a ``TypeError``, ``ValueError`` or ``OSError``."""


class ModelError(ValueError):
    """A model name, model file or :class:`~fsrcnn_rt.Model` that cannot be used; the message says why."""


class ScaleError(ValueError):
    """A scale that the model has no head for; the message lists the scales there are."""

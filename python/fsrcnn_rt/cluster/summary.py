"""What a run has come to."""

from __future__ import annotations

from dataclasses import dataclass, field

from fsrcnn_rt.cluster.stores import Stores
from fsrcnn_rt.pictures.batch import Outcome


@dataclass
class Summary:
    """How many inputs are done, how many were skipped as their outputs exist, and errors of the others.

    ``failed``: by what the input is called, its path or URL.
    """

    done: int = 0
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, outcome: Outcome, stores: Stores) -> None:
        """Count an outcome."""
        if outcome.error is None:
            self.done += 1
        else:
            self.failed[stores.name(outcome.job.source)] = outcome.error

"""Rotation: facts that rarely change are read for a share of the queues at each poll."""

from __future__ import annotations

from collections.abc import Sequence


class Rotation:
    """Selects an equal share of the rows at each poll, so that no poll takes longer than others."""

    def __init__(self, poll_interval: float) -> None:
        self._poll_interval = poll_interval
        self._poll = 0

    def advance(self) -> None:
        """Start the next poll."""
        self._poll += 1

    def start(self, size: int) -> int:
        """Where to start among `size` parts, another one at each poll; 0 if there is none."""
        return self._poll % size if size else 0

    def due(self, size: int, seconds: float) -> Sequence[int]:
        """The rows, out of `size`, that are due at this poll if each is due every `seconds`."""
        turns = max(1, round(seconds / self._poll_interval))
        return range(self._poll % turns, size, turns)

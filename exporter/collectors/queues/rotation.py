"""Facts that change slowly are read of a share of the queues at each poll."""

from __future__ import annotations

from collections.abc import Sequence


class Rotation:
    """Counts the polls, so that each share is even and no poll is a peak."""

    def __init__(self, poll_interval: float) -> None:
        self._poll_interval = poll_interval
        self._poll = 0

    def advance(self) -> None:
        """The next poll begins."""
        self._poll += 1

    def due(self, size: int, seconds: float) -> Sequence[int]:
        """The rows, of `size`, whose turn it is if each has one every `seconds`."""
        turns = max(1, round(seconds / self._poll_interval))
        return range(self._poll % turns, size, turns)

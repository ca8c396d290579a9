"""Whose turn it is at a poll: what changes slowly is read of a share of the queues each time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from exporter.collectors.queues.kept import Kept

SETTINGS_SECONDS: Final = 60.0
"""How old settings may get."""

_LIFE_SECONDS: Final = 15.0
"""How long an answer about workers' lives is good: they write every fifteen or thirty seconds."""


class Turns:
    """Counts the polls, so that the share of each is even and there is no peak."""

    def __init__(self, poll_interval: float) -> None:
        self._settings = max(1, round(SETTINGS_SECONDS / poll_interval))
        self._lives = max(1, math.ceil(_LIFE_SECONDS / poll_interval))
        self._poll = 0

    def advance(self) -> None:
        """The next poll."""
        self._poll += 1

    def settings(self, kept: Kept) -> list[int]:
        """The rows whose settings are read, those of which they are unknown among them."""
        size = len(kept.versions)
        due = range(self._poll % self._settings, size, self._settings)
        if None not in kept.versions:
            return list(due)
        return sorted({*due, *(row for row in range(size) if kept.versions[row] is None)})

    def lives(self, kept: Kept, ready: Sequence[bool]) -> list[int]:
        """The rows whose work was ready at the last poll too: it matters who could do it."""
        turn = self._poll % self._lives
        return [
            row
            for row, (now, since, known) in enumerate(
                zip(ready, kept.ready_since, kept.life_known, strict=True)
            )
            if now and since is not None and (not known or row % self._lives == turn)
        ]

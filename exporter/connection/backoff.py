"""Exponential backoff between attempts to reconnect."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Doubles from `base` to `cap` seconds; each wait is between half of that and the whole.

    The jitter keeps many exporters from reconnecting to a restarted Redis at the same moment.
    """

    def __init__(
        self, base: float, cap: float, jitter: Callable[[], float] = random.random
    ) -> None:
        self._base = min(base, cap)
        self._cap = cap
        self._jitter = jitter
        self.attempts = 0

    def next(self) -> float:
        """Seconds to wait after another failed attempt."""
        # 2 ** 30 exceeds any cap; without the limit the float would overflow after days of outage
        full = min(self._cap, self._base * (1 << min(self.attempts, 30)))
        self.attempts += 1
        return full * (0.5 + self._jitter() / 2)

    def reset(self) -> None:
        """Start over, after a successful attempt."""
        self.attempts = 0

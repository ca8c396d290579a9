"""How long to wait before the next try to reconnect."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Doubles from `base` to `cap` seconds; each wait is between half of that and all of it.

    The jitter keeps a fleet of exporters from returning to a restarted Redis in the same instant.
    """

    def __init__(
        self, base: float, cap: float, jitter: Callable[[], float] = random.random
    ) -> None:
        self._base = min(base, cap)
        self._cap = cap
        self._jitter = jitter
        self.attempts = 0

    def next(self) -> float:
        """The seconds to wait after one more failed try."""
        # 2 ** 30 is far beyond any cap; more would overflow after some days of outage
        full = min(self._cap, self._base * (1 << min(self.attempts, 30)))
        self.attempts += 1
        return full * (0.5 + self._jitter() / 2)

    def reset(self) -> None:
        """Start over after a success."""
        self.attempts = 0

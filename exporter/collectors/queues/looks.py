"""Looks at jobs that may be stuck or were retried, within a budget of Redis' time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from exporter.collectors.queues.questions import Question, ReplyHandler
from exporter.connection import Command
from exporter.state.stuck import LookTotals, StuckKind

if TYPE_CHECKING:
    from exporter.collectors.queues.poll import BatchPoll

RETRIES: Final = "retries"
"""The look at the reasons of retries."""
_KINDS: Final = (RETRIES, *(kind for kind in StuckKind if kind is not StuckKind.PRIORITY))
"""What is looked for with commands of its own."""
LOOK_SECONDS: Final = 10.0
"""How often a queue is looked at: a stuck job is named by the second look."""


class LookBudget:
    """Which looks may be made: they may take a share of Redis' time, and not much more at once.

    The time is that of the commands, as measured on a slow machine (`Command.microseconds`). It is
    not measured here: looks share their round trips with everything else that is read, and how long
    a round trip takes depends on the network and on other clients.

    A look reserves about what it will take, and is charged for what it took. Half of what is there
    is divided among the kinds, so that none waits for the others; the rest is for any of them.
    """

    def __init__(self, share: float, poll_interval: float) -> None:
        self._share = share
        self._balance = share * poll_interval * 1e6
        """What looks may take, in microseconds; less than 0 if they took more."""
        self._most = share * max(poll_interval, LOOK_SECONDS) * 1e6
        """The largest balance: enough for a look at each queue, if the share is."""
        self._at: float | None = None
        self._common = 0.0
        self._own: dict[str, float] = {}
        """What is not reserved yet at this poll, for any kind and for each kind."""
        self._spent = 0.0
        self._cut = 0

    def begin_poll(self, now: float) -> None:
        """Start a poll at that monotonic time."""
        if self._at is not None:
            earned = self._share * max(0.0, now - self._at) * 1e6
            self._balance = min(self._most, self._balance + earned)
        self._at = now
        half = max(0.0, self._balance) / 2
        self._common = half
        self._own = dict.fromkeys(_KINDS, half / len(_KINDS))

    def grant(self, kind: str, looks: int, microseconds: float) -> int:
        """How many of that many looks may be made, if each takes about so long; the rest is cut."""
        own = self._own[kind]
        granted = min(looks, math.ceil((own + self._common) / microseconds)) if looks else 0
        reserved = granted * microseconds
        self._own[kind] = max(0.0, own - reserved)
        self._common = max(0.0, self._common - max(0.0, reserved - own))
        self._cut += looks - granted
        return granted

    def spend(self, microseconds: float) -> None:
        """Charge what commands of looks take."""
        self._balance -= microseconds
        self._spent += microseconds

    @property
    def totals(self) -> LookTotals:
        """Since the start."""
        return LookTotals(self._spent / 1e6, self._cut)


def look_question(
    poll: BatchPoll,
    rows: Sequence[int],
    packed: bytes,
    widths: Sequence[int],
    commands: Sequence[Command],
    handle: ReplyHandler,
) -> Question:
    """A question of a look, charged to the budget; `commands` are repeated cyclically."""
    poll.looks.spend(sum(widths) / len(commands) * sum(each.microseconds for each in commands))
    return Question(rows, packed, widths, [each.reply for each in commands], handle)

"""A cluster's masters as one server. Pure.

No single figure is true of a cluster, so each is the one that an operator must know: sums where
what is counted adds up, and of the rest the worst master's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from exporter.state.snapshots import ServerFacts

_COUNTERS: Final = (
    "evicted_keys",
    "expired_keys",
    "commands_processed",
    "rejected_connections",
)
_SUMS: Final = ("keys", "blocked_clients")
_LEAST: Final = ("eviction_safe", "connected_replicas")
_GREATEST: Final = ("start_timestamp_seconds",)
# a use and its limit, of the master where the one is nearest to the other; what goes with them
_FULLEST: Final = (
    (
        ("memory_used_bytes", "memory_max_bytes"),
        ("memory_rss_bytes", "memory_fragmentation_ratio"),
    ),
    (("connected_clients", "max_clients"), ()),
)


class ClusterTotals:
    """Adds masters up; counters grow by what each master has counted since it was seen first."""

    def __init__(self) -> None:
        self._counted: dict[str, dict[str, float]] = {}
        """By run id: a master that restarts, or takes over, is another process."""
        self._totals: dict[str, float] = dict.fromkeys(_COUNTERS, 0)

    def of(self, masters: Sequence[ServerFacts]) -> ServerFacts:
        """The facts of all of them."""
        values: dict[str, float] = {}
        for names, choose in ((_SUMS, sum), (_LEAST, min), (_GREATEST, max)):
            for name in names:
                found = [master.values[name] for master in masters if name in master.values]
                # a sum without one of its parts is none
                if found and (choose is not sum or len(found) == len(masters)):
                    values[name] = choose(found)
        for use, more in _FULLEST:
            fullest = max(masters, key=partial(_fullness, *use)).values
            values |= {name: fullest[name] for name in (*use, *more) if name in fullest}
        return ServerFacts(_texts(masters), values | self._count(masters), _persistence(masters))

    def _count(self, masters: Sequence[ServerFacts]) -> dict[str, float]:
        begins = not self._counted
        for master in masters:
            now = {name: master.values[name] for name in _COUNTERS if name in master.values}
            before = self._counted.get(master.run_id, {} if begins else now)
            self._counted[master.run_id] = now
            for name, value in now.items():
                self._totals[name] += value - before.get(name, 0)
        return dict(self._totals)


def _fullness(use: str, limit: str, master: ServerFacts) -> tuple[float, float]:
    used, most = master.values.get(use, 0), master.values.get(limit, 0)
    return (used / most if most else 0.0, used)


def _texts(masters: Sequence[ServerFacts]) -> dict[str, str]:
    """Where masters differ, all that they say, joined by commas."""
    names = dict.fromkeys(name for master in masters for name in master.info)
    said = {name: sorted({master.info.get(name, "") for master in masters}) for name in names}
    return {name: ",".join(filter(None, texts)) for name, texts in said.items()}


def _persistence(masters: Sequence[ServerFacts]) -> dict[str, bool]:
    kinds = dict.fromkeys(kind for master in masters for kind in master.persistence_ok)
    return {kind: all(m.persistence_ok.get(kind, True) for m in masters) for kind in kinds}

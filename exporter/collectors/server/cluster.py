"""Combines a cluster's masters into one server. Pure.

Each value is the one an operator needs: the sum if values add up, otherwise that of the worst
master.
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
_MINIMA: Final = ("eviction_safe", "connected_replicas", "good_replicas")
_MAXIMA: Final = ("start_timestamp_seconds",)
# (usage, its limit), and further values: all from the master whose usage is closest to its limit
_FULLEST: Final = (
    (
        ("memory_used_bytes", "memory_max_bytes"),
        ("memory_rss_bytes", "memory_fragmentation_ratio"),
    ),
    (("connected_clients", "max_clients"), ()),
)


class ClusterTotals:
    """Combines masters; counters grow by what each master counted since it was first seen."""

    def __init__(self) -> None:
        self._counted: dict[str, dict[str, float]] = {}
        """Counters by `ServerFacts.run_id`: after a restart or failover, the master is another
        process."""
        self._totals: dict[str, float] = dict.fromkeys(_COUNTERS, 0)

    def of(self, masters: Sequence[ServerFacts]) -> ServerFacts:
        """The facts of the cluster."""
        values: dict[str, float] = {}
        for names, choose in ((_SUMS, sum), (_MINIMA, min), (_MAXIMA, max)):
            for name in names:
                found = [master.values[name] for master in masters if name in master.values]
                # a sum is unknown if one of its parts is
                if found and (choose is not sum or len(found) == len(masters)):
                    values[name] = choose(found)
        for use, more in _FULLEST:
            fullest = max(masters, key=partial(_fullness, *use)).values
            values |= {name: fullest[name] for name in (*use, *more) if name in fullest}
        return ServerFacts(_info(masters), values | self._count(masters), _persistence(masters))

    def _count(self, masters: Sequence[ServerFacts]) -> dict[str, float]:
        first = not self._counted
        for master in masters:
            now = {name: master.values[name] for name in _COUNTERS if name in master.values}
            before = self._counted.get(master.run_id, {})
            self._counted[master.run_id] = before | now
            for name, value in now.items():
                known = before.get(name, 0 if first else value)
                # CONFIG RESETSTAT sets counters to 0
                self._totals[name] += value - known if value >= known else value
        return dict(self._totals)


def _fullness(use: str, limit: str, master: ServerFacts) -> tuple[float, float]:
    used, maximum = master.values.get(use, 0), master.values.get(limit, 0)
    return (used / maximum if maximum else 0.0, used)


def _info(masters: Sequence[ServerFacts]) -> dict[str, str]:
    """String facts; if masters differ, all values, joined by commas."""
    names = dict.fromkeys(name for master in masters for name in master.info)
    values = {name: sorted({master.info.get(name, "") for master in masters}) for name in names}
    return {name: ",".join(filter(None, strings)) for name, strings in values.items()}


def _persistence(masters: Sequence[ServerFacts]) -> dict[str, bool]:
    kinds = dict.fromkeys(kind for master in masters for kind in master.persistence_ok)
    return {kind: all(m.persistence_ok.get(kind, True) for m in masters) for kind in kinds}

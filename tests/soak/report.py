"""The report of a long run."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from tests.soak.vitals import Poll, Vitals
from tests.support.observer import percentile

_WARM_SHARE = 0.25
"""Share of the run that counts as warm-up, not as growth."""
_MAY_GROW = {"memory_mb": 8.0, "descriptors": 0, "threads": 0}
_SLOW_SECONDS = 0.1

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Outage:
    """A fault with the Unix times of its start and end."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True)
class Row:
    """A row of the report: what was checked, the result, and whether it passed."""

    what: str
    found: str
    passed: bool


@dataclass
class Report:
    """The measurements of a run, and the rows computed from them."""

    interval: float
    vitals: Vitals
    outages: Sequence[Outage]
    tallies: Counts
    truth: Counts
    reported: Counts
    more: Sequence[Row] = ()
    """Rows of the additional parts of a run."""

    @property
    def passed(self) -> bool:
        return all(row.passed for row in self.rows())

    def text(self) -> str:
        rows = list(self.rows())
        width = max(len(row.what) for row in rows)
        lines = [
            f"{'ok  ' if row.passed else 'FAIL'}  {row.what:{width}}  {row.found}" for row in rows
        ]
        return "\n".join(["", f"{len(self.outages)} faults", *lines, *self.vitals.wrong[:20]])

    def rows(self) -> Iterator[Row]:
        """All checks of the run."""
        yield from self._sizes()
        yield self._missed_polls()
        yield self._recovery()
        yield self._scrapes()
        yield Row(
            "counters that fell, pages that were wrong, /-/healthy that was not 200",
            str(len(self.vitals.wrong)),
            not self.vitals.wrong,
        )
        yield from self._counters()
        yield from self.more

    def _sizes(self) -> Iterator[Row]:
        sizes = self.vitals.sizes
        warm = sizes[int(len(sizes) * _WARM_SHARE) :]
        fifth = max(1, len(warm) // 5)
        for name, more in _MAY_GROW.items():
            then = statistics.median(getattr(size, name) for size in warm[:fifth])
            # the minimum, without temporary memory and sockets
            now = min(getattr(size, name) for size in warm[-fifth:])
            most = max(getattr(size, name) for size in sizes)
            yield Row(name, f"{then:g} to {now:g}, most {most:g}", now - then <= more)

    def _missed_polls(self) -> Row:
        """Missed polls outside of faults; a late poll is not missed."""
        seen = list(pairwise(self.vitals.polls))
        due = missed = 0
        for disturbed, found in groupby(seen, lambda pair: self._disturbed(*pair)):
            stretch = list(found)
            if not disturbed:
                first, last = stretch[0][0], stretch[-1][1]
                wanted = round((last.at - first.at) / self.interval)
                due += wanted
                missed += max(0, wanted - (last.number - first.number))
        return Row("polls missed outside faults", f"{missed} of {due}", missed == 0)

    def _disturbed(self, before: Poll, later: Poll) -> bool:
        return any(
            before.at <= outage.end + 2 * self.interval and later.at >= outage.begin
            for outage in self.outages
        )

    def _recovery(self) -> Row:
        took = [
            min((p.at for p in self.vitals.polls if p.at >= outage.end), default=float("inf"))
            - outage.end
            for outage in self.outages
        ]
        worst = max(zip(took, self.outages, strict=True), key=lambda pair: pair[0], default=None)
        found = "no faults" if worst is None else f"{worst[0]:.1f} s after {worst[1].name}"
        return Row(
            "longest until the next successful poll after a fault",
            found,
            worst is None or worst[0] <= 2 * self.interval + 0.5 + max(self.vitals.overslept),
        )

    def _scrapes(self) -> Row:
        times, late = self.vitals.scrapes, percentile(self.vitals.overslept, 0.95)
        most = percentile(times, 0.95)
        found = (
            f"95 % within {most * 1000:.0f} ms, longest of {len(times)} "
            f"{max(times) * 1000:.0f} ms; the observer overslept {late * 1000:.0f} ms"
        )
        # both compete for the same cores
        return Row("scrapes", found, most <= _SLOW_SECONDS + 2 * late)

    def _counters(self) -> Iterator[Row]:
        for queue, tally in self.tallies.items():
            reported, truth = self.reported[queue], self.truth[queue]
            yield Row(
                f"{queue}: jobs by the exporter and by Redis",
                f"{reported} {truth}",
                reported == truth,
            )
            most = tally["added"] + tally["unconfirmed"]
            yield Row(
                f"{queue}: added by the exporter and by the producer",
                f"{reported['added']}, {tally['added']} to {most}",
                tally["added"] <= reported["added"] <= most,
            )

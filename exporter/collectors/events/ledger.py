"""Compares the unfinished jobs that the events of a queue imply with those that it has. Pure.

The first count is the base; from then on `base + net` jobs are expected. A difference is reported
if the next comparison finds it as well. Where an operation that removes jobs without telling which
explains it, the base is corrected instead, and that is counted by its reason: see `Rebase`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from exporter.collectors.events.balance import NO_DOUBTS, Doubts, Totals
from exporter.state.unfinished_jobs import Audit, Rebase

REPORTED_SECONDS: Final = 3600.0
"""How long vanished jobs are reported after the last one was missed."""


class Count(NamedTuple):
    """What a queue had at one moment, at which its event stream ended somewhere."""

    jobs: int
    """Number of unfinished jobs."""
    events: int | None
    """Length of the event stream; None if unknown."""
    at_ms: int
    """Unix ms, by the server's clock, of the last event before."""
    evicted_keys: int | None
    """Keys that the server has evicted, of those that BullMQ keeps; None if unknown."""


class Ledger:
    """The audit of one queue."""

    __slots__ = (
        "_base",
        "_compared",
        "_deleted",
        "_doubts",
        "_evicted",
        "_evicted_keys",
        "_frozen",
        "_missing",
        "_net",
        "_rebases",
        "_rolled_back",
        "_since",
        "_suspected",
        "agreed_ms",
        "asked",
        "counted",
        "to_look_at",
    )

    def __init__(self) -> None:
        self._base: int | None = None
        """Unfinished jobs at the first count minus `net` then; None if the next count is the
        first."""
        self._net = 0
        """`net` at the last count."""
        self._doubts = NO_DOUBTS
        """When the count last was as expected."""
        self.agreed_ms = 0
        """Unix ms of the last event before that."""
        self._evicted_keys: int | None = None
        """Keys that the server had evicted then."""
        self._missing = 0
        """Vanished jobs that are reported."""
        self._evicted: int | None = 0
        """Keys that were evicted while they vanished; None if that is unknown."""
        self._suspected = 0
        """A difference that the next comparison has to confirm; negative for too many jobs."""
        self._since: float | None = None
        self._rolled_back: float | None = None
        self._deleted: tuple[int, int, Rebase] | None = None
        """Base and `net` when the stream was deleted, and the reason if it was no `obliterate`,
        until the next count."""
        self._rebases: dict[Rebase, int] = {}
        self._frozen: Audit | None = None
        self._compared: tuple[Count, Totals] | None = None
        """The last count that was compared, and the totals at its moment, for `settle`."""
        self.counted: tuple[int, int | None] | None = None
        """Number of jobs and length of the stream at the last count."""
        self.asked: tuple[int, int | None] | None = None
        """Number of jobs and length of the stream because of which the jobs were counted last."""
        self.to_look_at: int = 0
        """Missing jobs for which it must be seen whether `drain` or `clean` removed them; see
        `settle`."""

    @property
    def has_base(self) -> bool:
        """Whether the next count is compared."""
        return self._base is not None

    @property
    def in_doubt(self) -> bool:
        """Whether the last count was another one than expected, and is to be confirmed."""
        return self._suspected != 0

    @property
    def audit(self) -> Audit:
        """What was found; the same object until it changes."""
        if self._frozen is None:
            known = self._base is not None
            self._frozen = Audit(
                self._missing if known else None,
                self._since,
                self._evicted,
                self._rolled_back,
                dict(self._rebases),
            )
        return self._frozen

    def restart(
        self,
        reason: Rebase,
        totals: Totals | None,
        now: float,
        *,
        otherwise: Rebase = Rebase.STREAM_DELETED,
    ) -> None:
        """The events until the next count are not known: that one is the base again.

        `totals` are those when that happened; None if events of afterwards are in them already.
        After `OBLITERATE`, the next count decides: if jobs remain, the reason is `otherwise`. `now`
        is Unix time.
        """
        if self._base is None:
            return
        if reason is Rebase.OBLITERATE:
            net = self._net if totals is None else totals.net
            self._deleted = (self._base, net, otherwise)
        else:
            self._rebased(reason)
        if reason is Rebase.ROLLBACK:
            self._rolled_back = now
        self._base = self.asked = None
        self._clear()

    def stop(self) -> None:
        """The jobs cannot be counted."""
        self._base = self._compared = self.counted = self._deleted = None
        self._clear()

    def expects(self, jobs: int, net: int) -> bool:
        """Whether that number of jobs is expected, and nothing is in doubt."""
        if self._base is None or self._suspected:
            return False
        return self._base + net - jobs == self._missing

    def agree(
        self,
        jobs: int,
        events: int | None,
        at_ms: int,
        evicted_keys: int | None,
        net: int,
        doubts: Doubts,
    ) -> None:
        """Note a count that is as expected: the fields of `Count` and of `Totals`. To make these
        objects for every queue that moves would take as long as to compare them."""
        self.counted = jobs, events
        self.agreed_ms, self._evicted_keys = at_ms, evicted_keys
        self._net, self._doubts = net, doubts
        self._suspected = 0

    def compare(self, count: Count, totals: Totals, now: float) -> None:
        """Compare a count with `totals`, which are those at its moment; `now` is Unix time."""
        self._compared, self.to_look_at = (count, totals), 0
        self.counted, self._net = (count.jobs, count.events), totals.net
        if self._base is None:
            self._begin(count, totals, now)
            return
        missing = self._base + totals.net - count.jobs - self._missing
        if missing <= 0:
            self._none_missing(missing, count, totals)
            return
        doubts, last = totals.doubts, self._doubts
        schedulers = doubts.schedulers - last.schedulers
        retries = doubts.retries - last.retries
        if doubts.cleaned > last.cleaned:
            self._accept(missing, Rebase.CLEAN)
            self.to_look_at = missing
        elif missing <= schedulers + retries:
            self._accept(missing, Rebase.SCHEDULER if missing <= schedulers else Rebase.RETRY)
        else:
            missing -= schedulers + retries
            if self._suspected > 0:
                self.to_look_at = min(missing, self._suspected)
            self._suspected = missing
            return
        self.agree(*count, *totals)

    def settle(self, now: float, *, drained: bool) -> None:
        """Report the jobs in `to_look_at`, unless they seem `drained` and no keys were evicted.

        `now` is Unix time.
        """
        missing, self.to_look_at = self.to_look_at, 0
        suspected = self._suspected
        if suspected <= 0 or self._compared is None or self._base is None:
            return
        count, totals = self._compared
        if drained and not _grown(self._evicted_keys, count.evicted_keys):
            missing = suspected
            self._accept(suspected, Rebase.DRAIN)
        else:
            self._report(missing, count.evicted_keys, now)
        # the rest was missed for the first time, or is explained by doubts
        self.agree(*count, *totals)
        self._suspected = suspected - missing
        self._base = count.jobs - totals.net + self._missing + self._suspected

    def expire(self, now: float) -> bool:
        """Stop to report jobs that were missed long ago; returns whether anything changed."""
        if self._since is None or self._base is None or now - self._since < REPORTED_SECONDS:
            return False
        self._base -= self._missing
        self._clear()
        self._rebased(Rebase.REPORTED)
        return True

    def _begin(self, count: Count, totals: Totals, now: float) -> None:
        deleted, self._deleted = self._deleted, None
        expected = count.jobs - totals.net
        self._frozen = None
        if deleted is not None:
            base, net, otherwise = deleted
            whole = count.jobs <= max(0, totals.net - net)
            self._rebased(Rebase.OBLITERATE if whole else otherwise)
            gone = base + totals.net - count.jobs
            if gone > 0 and _grown(self._evicted_keys, count.evicted_keys):
                expected += gone
                self._report(gone, count.evicted_keys, now)
        self._base = expected
        self.agree(*count, *totals)

    def _none_missing(self, missing: int, count: Count, totals: Totals) -> None:
        """No more jobs are missing than those that are reported; `missing` is negative if more
        were found."""
        if missing + self._missing >= 0:
            if missing:  # they came back
                self._missing += missing
                self._frozen = None
                if not self._missing:
                    self._clear()
            self.agree(*count, *totals)
        elif self._suspected < 0:
            self._base = count.jobs - totals.net
            self._clear()
            self._rebased(Rebase.SURPLUS)
            self.agree(*count, *totals)
        else:
            self._suspected = missing

    def _accept(self, missing: int, reason: Rebase) -> None:
        if self._base is not None:
            self._base -= missing
        self._rebased(reason)

    def _report(self, missing: int, evicted_keys: int | None, now: float) -> None:
        self._missing += missing
        grown = _grown(self._evicted_keys, evicted_keys)
        known = grown is not None and self._evicted is not None
        self._evicted = (self._evicted or 0) + (grown or 0) if known else None
        self._since = now
        self._frozen = None

    def _rebased(self, reason: Rebase) -> None:
        self._rebases[reason] = self._rebases.get(reason, 0) + 1
        self._frozen = None

    def _clear(self) -> None:
        """Nothing is missing any more."""
        self._missing = self._suspected = self.to_look_at = self._evicted = 0
        self._since, self._frozen = None, None


def _grown(before: int | None, now: int | None) -> int | None:
    return None if before is None or now is None else max(0, now - before)

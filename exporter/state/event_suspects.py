"""Jobs that the event streams make suspicious, for the queue collector, which looks at them.

Both collectors of a poller share these objects; only the poller's thread uses them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final

from exporter.state.failures import FailureClasses

_CAPACITY: Final = 4096
"""Number of jobs that are counted at a time; at about 400 bytes each, less than 2 MB."""
_RECURRING: Final = 2
"""A job is suspicious from this many returns on."""
_MAX_PER_QUEUE: Final = 10
"""Maximum number of suspicious jobs of a queue; the oldest ones are replaced."""


class HeavyHitters:
    """Counts how often each key occurs, in fixed memory.

    This is the space-saving algorithm (Metwally, Agrawal, El Abbadi: "Efficient computation of
    frequent and top-k elements in data streams", 2005). If the memory is full, a new key replaces
    one with the smallest count and takes over that count, so no count is too small and every key
    that occurs in more than one of `capacity` cases is kept. Someone else must confirm a key, since
    its count may be too large.
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._counts: dict[Hashable, int] = {}
        self._by_count: dict[int, dict[Hashable, None]] = {}
        """The keys by count; no entry is empty. Within a count, the oldest key is the first."""
        self._smallest = 0
        """The smallest count; meaningless while there is no key."""

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, key: Hashable) -> int:
        """Count one occurrence; returns the number of occurrences, which may be too large."""
        count = self._counts.get(key)
        if count is None:
            count = self._replace_smallest() if len(self._counts) >= self._capacity else 0
            self._smallest = count + 1 if not self._counts else min(self._smallest, count + 1)
        else:
            self._remove(key, count)
        self._counts[key] = count + 1
        self._by_count.setdefault(count + 1, {})[key] = None
        while self._smallest not in self._by_count:
            self._smallest += 1
        return count + 1

    def _replace_smallest(self) -> int:
        count = self._smallest
        key = next(iter(self._by_count[count]))
        self._remove(key, count)
        del self._counts[key]
        return count

    def _remove(self, key: Hashable, count: int) -> None:
        keys = self._by_count[count]
        del keys[key]
        if not keys:
            del self._by_count[count]


class Redeliveries:
    """The jobs of all queues that are delivered again and again.

    Stalls have their own count: they are rare, and ordinary retries must not displace them.
    """

    def __init__(self) -> None:
        self.stalls = HeavyHitters()
        self.retries = HeavyHitters()


class EventSuspects:
    """The suspicious jobs of one queue."""

    __slots__ = (
        "_held",
        "_recurring",
        "_redeliveries",
        "_retried",
        "noted",
        "retries",
        "retry_reasons",
    )

    def __init__(
        self, redeliveries: Redeliveries, retry_reasons: FailureClasses | None = None
    ) -> None:
        self._redeliveries = redeliveries
        self.retry_reasons = retry_reasons
        """The reasons of retries, which the queue collector reads; None if they are not wanted."""
        self.retries = 0
        """Number of retries, if their reasons are wanted."""
        self._retried: OrderedDict[bytes, None] | None = None
        self._recurring: OrderedDict[bytes, None] | None = None
        self._held: OrderedDict[bytes, None] | None = None
        self.noted = 0
        """Number of suspicious events: it changes if and only if there is something to look at."""

    @property
    def recurring(self) -> Sequence[bytes]:
        """IDs of jobs that stalled or were retried at least twice, the most recent last."""
        return tuple(self._recurring or ())

    @property
    def retried_jobs(self) -> Sequence[bytes]:
        """IDs of jobs that were retried, the most recent last, if their reasons are wanted."""
        return tuple(self._retried or ())

    @property
    def held_deduplications(self) -> Sequence[bytes]:
        """Deduplication IDs that made an add be ignored, the most recent last."""
        return tuple(self._held or ())

    def stalled(self, job: bytes) -> None:
        """Note that a job stalled."""
        self._note(job, self._redeliveries.stalls.add((self, job)))

    def retried(self, job: bytes) -> None:
        """Note that a job returned from active to waiting or delayed."""
        self._note(job, self._redeliveries.retries.add((self, job)))
        if self.retry_reasons is not None:
            self._retried = _with(self._retried, job)
            self.retries += 1

    def deduplicated(self, deduplication: bytes) -> None:
        """Note that an add was ignored, because a job holds this deduplication ID."""
        self._held = _with(self._held, deduplication)
        self.noted += 1

    def reset(self) -> None:
        """Forget all jobs: IDs start over."""
        self._recurring = self._held = self._retried = None

    def _note(self, job: bytes, times: int) -> None:
        if times >= _RECURRING:
            self._recurring = _with(self._recurring, job)
            self.noted += 1


def _with(recent: OrderedDict[bytes, None] | None, key: bytes) -> OrderedDict[bytes, None]:
    recent = OrderedDict() if recent is None else recent
    recent[key] = None
    recent.move_to_end(key)
    if len(recent) > _MAX_PER_QUEUE:
        recent.popitem(last=False)
    return recent

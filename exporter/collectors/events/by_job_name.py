"""The fold of a whole stream: as one, or apart by job name. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from exporter.collectors.events.fold import Entry, Fold, job_events
from exporter.state.snapshots import JobEvents, QueueEvents

OTHER: Final = "__other__"
"""The name of jobs whose own is not known, or one too many."""

_ENDS: Final = frozenset({b"completed", b"failed", b"removed", b"delayed", b"waiting-children"})
"""Events after which a job may rest for long or for ever: its name is not kept."""
_TIMED: Final = frozenset({b"waiting", b"active", b"completed", b"failed", b"delayed", b"stalled"})
"""Events that count for a name."""


class StreamFold(Protocol):
    """What is known of a stream's jobs."""

    read: int
    """Events read."""
    lost: int
    """Events that could not be read."""

    @property
    def inflight(self) -> int:
        """Jobs that are remembered."""
        ...

    @property
    def oldest_ms(self) -> int:
        """Since when the job is remembered that would be forgotten first."""
        ...

    def nameless(self, entries: Sequence[Entry]) -> Sequence[bytes]:
        """Jobs in the entries whose name is needed and not known, each once."""
        ...

    def learn(self, names: Mapping[bytes, str]) -> None:
        """Take the names of jobs."""
        ...

    def feed(self, entries: Sequence[Entry]) -> None:
        """Fold entries in the order of the stream."""
        ...

    def settle(self) -> None:
        """The end of the stream is reached."""
        ...

    def reset(self) -> None:
        """Forget all jobs."""
        ...

    def forget_oldest(self) -> object:
        """Forget the job that has been remembered for longest."""
        ...

    def frozen(self) -> QueueEvents:
        """Everything as it is now."""
        ...


class PlainFold:
    """All jobs as one. A stream without news costs no fold: most queues are quiet."""

    __slots__ = ("_fold", "_make", "_nothing", "lost", "read")

    def __init__(self, make: Callable[[], Fold], nothing: Mapping[str, JobEvents]) -> None:
        """`nothing`: what is shown before the first news."""
        self.read = self.lost = 0
        self._make = make
        self._nothing = nothing
        self._fold: Fold | None = None

    @property
    def inflight(self) -> int:
        return self._fold.inflight if self._fold is not None else 0

    @property
    def oldest_ms(self) -> int:
        return self._fold.oldest_ms if self._fold is not None else 0

    def nameless(self, _: Sequence[Entry]) -> Sequence[bytes]:
        return ()

    def learn(self, _: Mapping[bytes, str]) -> None:
        """Names are not told apart."""

    def feed(self, entries: Sequence[Entry]) -> None:
        if self._fold is None:
            self._fold = self._make()
        self._fold.feed(entries)
        self.read += len(entries)

    def settle(self) -> None:
        if self._fold is not None:
            self._fold.settle()

    def reset(self) -> None:
        if self._fold is not None:
            self._fold.reset()

    def forget_oldest(self) -> object:
        return self._fold.forget_oldest() if self._fold is not None else None

    def frozen(self) -> QueueEvents:
        jobs = self._nothing if self._fold is None else {"": self._fold.frozen()}
        return QueueEvents(self.read, self.lost, jobs)


class NamedFold:
    """Apart by job name; names over the cap are one."""

    __slots__ = ("_bounds", "_folds", "_most", "_names", "lost", "read")

    def __init__(
        self, wait_bounds: tuple[float, ...], run_bounds: tuple[float, ...], most_names: int
    ) -> None:
        self.read = self.lost = 0
        self._bounds = (wait_bounds, run_bounds)
        self._most = most_names
        self._folds: dict[str, Fold] = {}
        self._names: dict[bytes, str] = {}

    @property
    def inflight(self) -> int:
        return sum(fold.inflight for fold in self._folds.values())

    @property
    def oldest_ms(self) -> int:
        return min((f.oldest_ms for f in self._folds.values() if f.inflight), default=0)

    def nameless(self, entries: Sequence[Entry]) -> Sequence[bytes]:
        added: set[bytes] = set()
        wanted: dict[bytes, None] = {}
        for event, job, _, _ in job_events(entries):
            if event == b"added":
                added.add(job)
            elif event in _TIMED and job not in self._names and job not in added:
                wanted[job] = None
        return list(wanted)

    def learn(self, names: Mapping[bytes, str]) -> None:
        self._names.update(names)

    def feed(self, entries: Sequence[Entry]) -> None:
        self.read += len(entries)
        for event, job, at, fields in job_events(entries):
            if event == b"added":
                self._names[job] = _name_of(fields)
            elif event not in _TIMED and job not in self._names:
                continue  # it counts for nothing, and would make a name of nobody
            self._fold_of(job).take(event, job, at, fields)
            if event in _ENDS:
                self._names.pop(job, None)

    def settle(self) -> None:
        for fold in self._folds.values():
            fold.settle()

    def reset(self) -> None:
        self._names.clear()
        for fold in self._folds.values():
            fold.reset()

    def forget_oldest(self) -> object:
        with_jobs = [fold for fold in self._folds.values() if fold.inflight]
        if not with_jobs:
            return None
        job = min(with_jobs, key=lambda fold: fold.oldest_ms).forget_oldest()
        if job is not None:
            self._names.pop(job, None)
        return job

    def frozen(self) -> QueueEvents:
        jobs = {name: fold.frozen() for name, fold in self._folds.items()}
        return QueueEvents(self.read, self.lost, jobs)

    def _fold_of(self, job: bytes) -> Fold:
        name = self._names.get(job, OTHER)
        fold = self._folds.get(name)
        if fold is None:
            if name != OTHER and len(self._folds) - (OTHER in self._folds) >= self._most:
                name = self._names[job] = OTHER
            fold = self._folds.get(name)
        if fold is None:
            fold = self._folds[name] = Fold(*self._bounds)
        return fold


def _name_of(fields: Sequence[bytes]) -> str:
    found = dict(zip(fields[::2], fields[1::2], strict=False))
    return found.get(b"name", b"").decode("utf-8", "backslashreplace") or OTHER

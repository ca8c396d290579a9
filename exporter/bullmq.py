"""The data model of BullMQ and Bull in Redis: keys, states, markers. Pure: no Redis, no clock.

Verified on live queues of Bull 4, BullMQ 3 to 6 and the Python port. State names are BullMQ's.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exporter.parsing import MAX_LABEL_BYTES, finite, is_digits


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue: `prefix` and `name` as shown, `key` as in Redis (`b"bull:mail:"`)."""

    prefix: str
    name: str
    key: bytes
    static: bool = False
    """Whether the configuration lists it, so it is watched whether or not it exists."""

    def __hash__(self) -> int:
        # only the key: bytes cache their hash, and queues are looked up by the thousand
        return hash(self.key)


def queue_of(prefix: str, name: str, *, static: bool = False) -> Queue:
    """The queue with that prefix and name."""
    return Queue(prefix, name, f"{prefix}:{name}:".encode(), static)


MAX_KEY_BYTES: Final = 1024
"""Maximum size of a queue's key, `P:Q:`; a queue with a longer one is not watched. Every sample of
a queue repeats its name, so a long name costs many times its size."""


# --- finding queues ------------------------------------------------------------------------------

QUEUE_KEYS: Final = ("meta", "id", "stalled-check")
"""Keys that identify a queue: every queue has at least one of them."""

# One glob for all three keys. It matches too much; `split_queue_key` checks the exact suffix.
_QUEUE_KEY_PATTERN: Final = ":[ims][det]*"
_GLOB_CHARACTERS: Final = re.compile(r"([*?\[\]\\])")
_RELAY: Final = b":relay"


def scan_pattern(prefixes: Sequence[str]) -> str:
    """The MATCH argument of one SCAN pass that finds the queues of all prefixes.

    One pass for all, because a pass costs Redis the same whatever its pattern.
    """
    common = prefixes[0] + ":"
    for prefix in prefixes[1:]:
        other = prefix + ":"
        size = next(
            (i for i, (a, b) in enumerate(zip(common, other, strict=False)) if a != b),
            min(len(common), len(other)),
        )
        common = common[:size]
    return _GLOB_CHARACTERS.sub(r"\\\1", common) + "*" + _QUEUE_KEY_PATTERN


def split_queue_key(key: bytes, prefixes: Sequence[bytes]) -> tuple[bytes, bytes, str] | None:
    """Split a key into prefix, queue name and one of `QUEUE_KEYS`; None if it is another key.

    `prefixes` must be sorted longest first, so that `bull:eu` wins over `bull` for
    `bull:eu:mail:id`. A name may contain colons (Bull, and BullMQ before 5.12.12), so only the last
    part is removed.
    """
    base, _, suffix = key.rpartition(b":")
    kind = suffix.decode("ascii", "replace")
    if kind not in QUEUE_KEYS:
        return None
    for prefix in prefixes:
        if base.startswith(prefix + b":"):
            name = base[len(prefix) + 1 :]
            # `P::relay:*` belongs to a message relay, not to a queue (6.7)
            return None if not name or name.startswith(_RELAY) else (prefix, name, kind)
    return None


OWNED_KEYS: Final = re.compile(rb":(?=(?:de|dn|groups):)")
"""What follows a queue's name in keys that end in any text, which may be `:id`: those of a
deduplication ID (`de:<id>`, `dn:<id>`), and those of BullMQ Pro's groups (`groups:<id>:meta`)."""

JOB_FIELDS: Final = ("data", "timestamp", "pattern", "every", "name")
"""Fields of the hash of a job or a scheduler; a queue's `meta` has none of them."""


# --- counting ------------------------------------------------------------------------------------

LISTS: Final = ("wait", "paused", "active")
"""The lists that may contain markers."""


def is_marker(entry: object) -> bool:
    """Whether a list entry is a wake-up marker, not a job.

    BullMQ 3 and 4 write `0:0` and `0:<ms>`, BullMQ 2 and 3.0 a bare `0`. BullMQ's own job IDs
    begin at 1.
    """
    return isinstance(entry, bytes) and (entry == b"0" or entry.startswith(b"0:"))


def jobs_in_list(length: int, head: object, tail: object) -> int:
    """The number of jobs in a list with that length, head and tail."""
    if length == 1:
        return 0 if is_marker(tail) else 1
    return max(0, length - is_marker(head) - is_marker(tail))


# --- settings in `meta` --------------------------------------------------------------------------

SETTINGS: Final = ("version", "concurrency", "max")
"""Fields of `meta` that rarely change."""

DEFAULT_MAX_EVENTS: Final = 10_000
"""`opts.maxLenEvents` of a queue that does not set it."""

_VERSION: Final = re.compile(rb"bullmq:(\d+)\.")


def may_have_markers(version: bytes) -> bool:
    """Whether lists may contain markers, given `version` in `meta`: BullMQ before 5, or an unknown
    version."""
    match = _VERSION.match(version)
    return match is None or int(match.group(1)) < 5


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """A queue's settings; None if not set."""

    version: str = ""
    """Written by the Queue object that started last: `bullmq:6.7.0`; empty if missing. Cut after
    `MAX_LABEL_BYTES`."""
    concurrency: int | None = None
    """Global concurrency: maximum number of active jobs in the whole queue."""
    rate_max: int | None = None
    """Global rate limit: maximum number of jobs the whole queue may start per window."""

    @property
    def may_have_markers(self) -> bool:
        """See `may_have_markers`."""
        return may_have_markers(self.version.encode())


def queue_settings(values: Sequence[object]) -> QueueSettings:
    """Parse the reply to HMGET of `SETTINGS`."""
    version = values[0]
    return QueueSettings(
        version[:MAX_LABEL_BYTES].decode("utf-8", "replace") if isinstance(version, bytes) else "",
        *(_integer(value) for value in values[1:]),
    )


def _integer(value: object) -> int | None:
    return int(value) if isinstance(value, bytes) and is_digits(value) else None


# --- liveness ------------------------------------------------------------------------------------

STALLED_CHECK_GRACE_SECONDS: Final = 75.0
"""How long `stalled-check` may be missing although a worker is alive.

A worker renews it every 30 s with a TTL of 30 s, so renewal and expiry race: with one worker it was
missing for up to one interval. Two intervals and a margin.
"""


# --- workers in CLIENT LIST ----------------------------------------------------------------------


def worker_names(queue: Queue) -> tuple[bytes, bytes]:
    """The connection names of a queue's workers: of Node workers and of Python workers.

    Node encodes the queue's name in base64 (`P:base64(Q)`, Bull and BullMQ), Python does not;
    `:w:<worker name>` may follow. Names that end in `:qe` belong to QueueEvents, not to workers.
    """
    prefix = queue.prefix.encode()
    raw = queue.key[len(prefix) + 1 : -1]
    return prefix + b":" + base64.b64encode(raw), prefix + b":" + raw


def queue_of_worker(name: bytes) -> tuple[str, str] | None:
    """Prefix and name of the queue of a Node worker with this connection name; None if it is none.

    Only names whose base64 is that of a readable text count: many other programs name connections.
    """
    key, _, _ = name.partition(WORKER_SUFFIX)
    prefix, separator, encoded = key.rpartition(b":")
    if not (separator and encoded) or len(encoded) % 4:
        return None
    try:
        queue = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return None
    return (prefix.decode("utf-8", "replace"), queue) if queue.isprintable() else None


WORKER_SUFFIX: Final = b":w:"
BLOCKING_COMMANDS: Final = frozenset({b"bzpopmin", b"brpoplpush", b"blmove"})
"""The blocking commands in which an idle worker waits."""


# --- times and orders ----------------------------------------------------------------------------

MANUAL_RATE_LIMIT: Final = 9007199254740991
"""The value of `limiter` while a `rateLimit(ms)` call pauses the queue."""

PRIORITY_BAND: Final = 1 << 32
"""A score in `prioritized` is `priority * 2^32 + n`; n increases with time within a priority."""

JOB_TIMES: Final = ("timestamp", "processedOn", "opts", "atm", "attemptsMade", "retriedOn")
"""Fields of a job's hash that show since when it is ready. Its data is never read."""


def due_ms(score: float) -> float:
    """When a delayed job is due, in Unix ms: its score is `due_ms * 4096 + n`."""
    return score // 4096


def delayed_score(ms: float) -> int:
    """The maximum score of delayed jobs that were due before that time."""
    return int(ms) * 4096


def ready_since_ms(
    job_id: bytes,
    values: Sequence[object],
    waiting_ms: float | None = None,
    *,
    skew: float | None = None,
    put_back: bool = False,
) -> float | None:
    """Since when a waiting job is ready, in Unix ms; None if unknown.

    `values` is the reply to HMGET of `JOB_TIMES`. `waiting_ms` is the time of the job's last
    `waiting` event, if it is known; `skew`, that of its producer as `clock_skew_ms` returns it;
    `put_back`, whether the job had finished before. For a job that was tried, the event has the
    exact time, unless the job was added or started since. It also has it for a job without a delay
    whose producer's clock differs from the server's.

    Otherwise the time is the end of the job's delay or, if it is retried, that of the back-off
    after the start of its last attempt, whichever is later. The ID of a scheduler's iteration
    contains its time, `repeat:<id>:<ms>`. A job that was put back after it had failed for good has
    lost the times of its attempts, so its time is unknown.
    """
    created, processed = time_ms(values[0]), time_ms(values[1])
    # a job that was never tried has none of these, and most waiting jobs never were
    attempts = max([time_ms(value) or 0 for value in values[3:5]]) if any(values[3:5]) else 0
    tried = put_back or attempts >= 1 or processed is not None
    if tried and waiting_ms is not None and waiting_ms >= max(created or 0, processed or 0):
        return waiting_ms
    started = [processed] if processed is not None else []
    started += [each for value in values[5:] if (each := time_ms(value)) is not None]
    if attempts >= 1 and not started:
        return None
    latest = max(started) + _backoff_of(values[2], attempts) if started else 0
    if waiting_ms is not None and skew is not None and not tried and skew:
        return waiting_ms
    if job_id.startswith(b"repeat:") and (due := time_ms(job_id.rpartition(b":")[2])):
        return max(due, latest)
    if created is None:
        return None
    return max(created + _delay_of(values[2]), latest)


CLOCK_TOLERANCE_MS: Final = 5000.0
"""Clocks that differ by less are the same, as far as ages of jobs are concerned."""


def clock_skew_ms(
    job_id: bytes, values: Sequence[object], waiting_ms: float | None
) -> float | None:
    """How far the clock of a waiting job's producer is ahead of the server's; None if unknown.

    The producer writes `timestamp`, and the ID of the `waiting` event of a job without a delay
    has the server's time. Differences up to `CLOCK_TOLERANCE_MS` count as none.
    """
    created = time_ms(values[0])
    if created is None or waiting_ms is None or job_id.startswith(b"repeat:"):
        return None
    if time_ms(values[1]) is not None or _delay_of(values[2]):
        return None
    return skew_ms(created, waiting_ms)


def skew_ms(created_ms: float, waiting_ms: float) -> float:
    """How far a clock is ahead that showed `created_ms` when the server's showed `waiting_ms`; 0 if
    that is within `CLOCK_TOLERANCE_MS`."""
    skew = created_ms - waiting_ms
    return skew if abs(skew) > CLOCK_TOLERANCE_MS else 0.0


def added_ms(job_id: bytes, values: Sequence[object]) -> float | None:
    """When a job was added by its producer's clock, in Unix ms, if it is ready since then: it was
    never tried, and has no delay. None otherwise, or if that is unknown.

    `values` is the reply to HMGET of `JOB_TIMES`.
    """
    added, started, options, *attempts = values
    plain = (
        started is None
        and not any(attempts)
        and isinstance(options, bytes)
        and b'"delay":' not in options
        and not job_id.startswith(b"repeat:")
    )
    return time_ms(added) if plain else None


def time_ms(value: object) -> float | None:
    """Parse a time written by a job, a worker or a scheduler; None if it is not a number."""
    return finite(value) if isinstance(value, bytes) else None


def _delay_of(options: object) -> float:
    """The delay in a job's options, in ms; 0 if it has none."""
    found = _options(options, b'"delay":')
    return _milliseconds(found.get("delay")) if found else 0.0


def _backoff_of(options: object, attempts: float) -> float:
    """The longest back-off after that number of attempts, in ms; 0 if it is none or unknown."""
    if attempts < 1:
        return 0.0
    backoff = _options(options, b'"backoff":').get("backoff")
    if not isinstance(backoff, dict):
        return _milliseconds(backoff)
    delay = _milliseconds(backoff.get("delay"))
    if backoff.get("type") == "exponential":
        return min(delay, _MAX_DELAY_MS) * 2 ** (min(attempts, _MAX_DOUBLINGS) - 1)
    return delay if backoff.get("type") == "fixed" else 0.0


_MAX_DOUBLINGS: Final = 50
_MAX_DELAY_MS: Final = 1e15
"""Thousands of years; with the doublings still a finite number."""


def _options(options: object, needed: bytes) -> dict[str, object]:
    """A job's options; empty if they lack the text `needed`, or are malformed."""
    # most jobs lack it, and a search is cheaper than parsing JSON
    if not isinstance(options, bytes) or needed not in options:
        return {}
    try:
        parsed = json.loads(options)
    # RecursionError: nested too deeply for the parser
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _milliseconds(value: object) -> float:
    return (finite(str(value)) or 0.0) if isinstance(value, int | float) else 0.0

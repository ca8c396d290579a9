"""What BullMQ and Bull keep in Redis: keys, states, markers. Pure: no Redis, no clock.

Everything here was read off live queues of Bull 4, BullMQ 3 to 6 and the Python port. The names
of states are BullMQ's own.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exporter.parsing import finite, is_digits


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue's identity: `prefix` and `name` as shown, `key` as in Redis (`b"bull:mail:"`)."""

    prefix: str
    name: str
    key: bytes
    static: bool = False
    """Named by the configuration, and so watched whether it exists or not."""

    def __hash__(self) -> int:
        # of one field: bytes remember their hash, and queues are looked up by the thousand
        return hash(self.key)


def queue_of(prefix: str, name: str, *, static: bool = False) -> Queue:
    """The queue of that prefix and name."""
    return Queue(prefix, name, f"{prefix}:{name}:".encode(), static)


# --- finding queues ------------------------------------------------------------------------------

QUEUE_KEYS: Final = ("meta", "id", "stalled-check")
"""The keys that tell of a queue: no queue is without all three."""

# One pattern for the three, loose on purpose: what it lets through is checked by its ending.
_QUEUE_KEY_PATTERN: Final = ":[ims][det]*"
_GLOB_CHARACTERS: Final = re.compile(r"([*?\[\]\\])")
_RELAY: Final = b":relay"


def scan_pattern(prefixes: Sequence[str]) -> str:
    """The MATCH of one SCAN pass that finds the queues of all prefixes.

    One pass for all, because a pass costs Redis the same whatever it matches.
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
    """A found key as prefix, queue name and which of `QUEUE_KEYS` it is; None if it is none.

    Prefixes come longest first, so that `bull:eu` wins over `bull` for `bull:eu:mail:id`. A name
    may hold colons (Bull, and BullMQ before 5.12.12), so only the last part is cut off.
    """
    base, _, suffix = key.rpartition(b":")
    kind = suffix.decode("ascii", "replace")
    if kind not in QUEUE_KEYS:
        return None
    for prefix in prefixes:
        if base.startswith(prefix + b":"):
            name = base[len(prefix) + 1 :]
            # `P::relay:*` is a message relay's, not a queue's (6.7)
            return None if not name or name.startswith(_RELAY) else (prefix, name, kind)
    return None


JOB_FIELDS: Final = ("data", "timestamp", "pattern", "every", "name")
"""Fields of a job's or a schedule's hash; a queue's `meta` has none of them."""


# --- counting ------------------------------------------------------------------------------------

LISTS: Final = ("wait", "paused", "active")
"""The lists that can hold markers."""


def is_marker(entry: object) -> bool:
    """Whether a list's entry is a wake-up marker of BullMQ 3 and 4 (`0:0`, `0:<ms>`), not a job."""
    return isinstance(entry, bytes) and entry.startswith(b"0:")


def jobs_in_list(length: int, head: object, tail: object) -> int:
    """The jobs in a list of that length with those two ends."""
    if length == 1:
        return 0 if is_marker(tail) else 1
    return max(0, length - is_marker(head) - is_marker(tail))


# --- settings in `meta` --------------------------------------------------------------------------

SETTINGS: Final = ("version", "concurrency", "max")
"""Fields of `meta` that change slowly."""

_VERSION: Final = re.compile(r"bullmq:(\d+)\.")


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """A queue's settings; None where it has none."""

    version: str = ""
    """As the last Queue object to start wrote it, `bullmq:6.7.0`; empty if none did."""
    concurrency: int | None = None
    """The most jobs of the whole queue that may be active."""
    rate_max: int | None = None
    """The most jobs that the whole queue may start in a rate window."""

    @property
    def may_have_markers(self) -> bool:
        """Whether its lists may hold markers: BullMQ before 5, or an unknown version."""
        match = _VERSION.match(self.version)
        return match is None or int(match.group(1)) < 5


def queue_settings(values: Sequence[object]) -> QueueSettings:
    """The reply to HMGET of `SETTINGS`."""
    version = values[0]
    return QueueSettings(
        version.decode("utf-8", "replace") if isinstance(version, bytes) else "",
        *(_whole_number(value) for value in values[1:]),
    )


def _whole_number(value: object) -> int | None:
    return int(value) if isinstance(value, bytes) and is_digits(value) else None


# --- liveness ------------------------------------------------------------------------------------

STALLED_CHECK_GRACE_SECONDS: Final = 75.0
"""How long `stalled-check` may be missing with its worker alive.

A worker renews it every 30 s with a TTL of 30 s, and the two race: with one worker it was missing
up to a whole interval. Two intervals and a margin.
"""


# --- workers in CLIENT LIST ----------------------------------------------------------------------


def worker_names(queue: Queue) -> tuple[bytes, bytes]:
    """What a queue's workers call their connections: Node's spelling and Python's.

    Node writes the queue's name in base64, Python as it is; `:w:<worker name>` may follow. Bull and
    BullMQ write `P:base64(Q)`; QueueEvents append `:qe` and are no workers.
    """
    prefix = queue.prefix.encode()
    raw = queue.key[len(prefix) + 1 : -1]
    return prefix + b":" + base64.b64encode(raw), prefix + b":" + raw


WORKER_SUFFIX: Final = b":w:"
BLOCKING_COMMANDS: Final = frozenset({b"bzpopmin", b"brpoplpush", b"blmove"})
"""The commands in which an idle worker waits."""


# --- times and orders ----------------------------------------------------------------------------

MANUAL_RATE_LIMIT: Final = 9007199254740991
"""The value of `limiter` while `rateLimit(ms)` holds the queue back."""

PRIORITY_BAND: Final = 1 << 32
"""The score of `prioritized` is `priority * 2^32 + n`, and n grows with time within a band."""

JOB_TIMES: Final = ("timestamp", "processedOn", "opts")
"""Fields of a job's hash that tell since when it is ready. Its data is never read."""


def due_ms(score: float) -> float:
    """When a delayed job is due: its score is `due_ms * 4096 + n`."""
    return score // 4096


def delayed_score(ms: float) -> int:
    """The greatest score of jobs that were due before that time."""
    return int(ms) * 4096


def ready_since_ms(job_id: bytes, values: Sequence[object]) -> float | None:
    """Since when a waiting job is ready, by the reply to HMGET of `JOB_TIMES`; None if unknown.

    The end of its deliberate delay or, for one that went back, the start of its last attempt,
    whichever is later. The iteration of a schedule has its time in its id, `repeat:<id>:<ms>`.
    """
    created, processed = time_ms(values[0]), time_ms(values[1])
    if job_id.startswith(b"repeat:") and (due := time_ms(job_id.rpartition(b":")[2])):
        return max(due, processed or 0)
    if created is None:
        return None
    return max(created + _delay_of(values[2]), processed or 0)


def time_ms(value: object) -> float | None:
    """A time that a job, a worker or a schedule has written; None where it is none."""
    return finite(value) if isinstance(value, bytes) else None


def _delay_of(options: object) -> float:
    # most jobs have no delay, and looking is cheaper than reading JSON
    if not isinstance(options, bytes) or b'"delay":' not in options:
        return 0.0
    try:
        delay = json.loads(options).get("delay", 0)
    # a text may be nested more deeply than the parser goes
    except (ValueError, AttributeError, RecursionError):
        return 0.0
    return (finite(str(delay)) or 0.0) if isinstance(delay, int | float) else 0.0

"""Discovers queues: SCANs for the keys that every queue has, in pages spread over time."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from exporter.bullmq import (
    JOB_FIELDS,
    MAX_KEY_BYTES,
    OWNED_KEYS,
    QUEUE_KEYS,
    Queue,
    queue_of,
    scan_pattern,
    split_queue_key,
)
from exporter.collectors.contract import Context
from exporter.config.models import Queues
from exporter.connection import (
    Client,
    Command,
    NodeError,
    RedisFailure,
    Reply,
    ReplyError,
    is_string_list,
    unexpected,
)
from exporter.parsing import is_digits
from exporter.state.snapshots import Discovered, PrefixCount

Name = tuple[bytes, bytes]
"""Prefix and queue name, as in Redis."""

SCAN: Final = Command(
    "SCAN",
    probe=(0, "COUNT", 10),
    reply=list,
    cost="discovery: only queues.static is watched",
    large=True,
)
_COLON: Final = "the distinction of queues with a colon in their name from jobs"
TYPE: Final = Command("TYPE", reply=bytes, cost=_COLON)
EXISTS: Final = tuple(Command("EXISTS", kind, cost=_COLON) for kind in QUEUE_KEYS)
"""Each key by itself: in a cluster, two keys may belong to two nodes."""
META_FIELDS: Final = Command("HMGET", "meta", JOB_FIELDS, list, "queue settings")

_WORKER_ONLY = frozenset({"stalled-check"})

KEY_SECONDS: Final = 1e-6
"""Redis' time for each key that SCAN looks at, whether it matches or not, on a slow machine."""
COMMANDS: Final = (SCAN, TYPE, META_FIELDS, *EXISTS)


_Process = str | float
"""Identifies the server process behind a connection: see `_process_of`."""


@dataclass(slots=True)
class _Pass:
    """One pass through the keyspace."""

    nodes: list[Client]
    """Servers not scanned completely yet; the first is in progress."""
    complete: bool = True
    """Whether every server could be scanned; if not, queues not found may exist."""
    cursor: bytes = b"0"
    scanned: _Process | None = None
    """The process that returned `cursor`; None before the first page of a server."""
    found: dict[Name, set[str]] = field(default_factory=dict)
    """The kinds of keys seen of each queue, of `QUEUE_KEYS`."""
    owners: dict[Name, bool] = field(default_factory=dict)
    """Whether these names, which may own keys that look like a queue's, are queues."""
    counts: Counter[bytes] = field(default_factory=Counter)
    """Number of names in `found`, by prefix."""
    overflow: dict[bytes, set[int]] = field(default_factory=dict)
    """Hashes of names that are too long or beyond `queues.max`, by prefix: counted, not watched."""


class Discovery:
    """Scans the keyspace page by page and remembers the queues found.

    A pass costs Redis about 1 s per million keys, so the poller calls `step` between polls, with
    pauses, and starts a pass only every `discovery_interval_seconds`.
    """

    name = "discovery"

    def __init__(self, options: Queues) -> None:
        self._options = options
        # longest first: see split_queue_key
        self._prefixes = sorted((p.encode() for p in options.prefixes), key=len, reverse=True)
        self._pattern = scan_pattern(options.prefixes)
        self._included = _matcher(options.include)
        self._excluded = _matcher(options.exclude)
        self._pass: _Pass | None = None
        self._kinds: dict[Name, frozenset[str]] = {}
        """The watched queues, with the kinds of keys seen of each."""
        self._overflow: dict[bytes, set[int]] = {}
        """What the last pass counted but did not watch."""
        self._missed: set[Name] = set()
        """Queues that the last complete pass did not find, kept until the next one."""
        self._static = _static_queues(options)
        self._facts = self._summary({}, {})
        self.complete = not options.discovery
        """Whether a complete pass has ended, or discovery is off."""

    @property
    def scans(self) -> bool:
        """Whether discovery is on."""
        return self._options.discovery

    @property
    def in_progress(self) -> bool:
        """Whether a pass is in progress."""
        return self._pass is not None

    def current(self) -> Discovered:
        """The queues to watch; during the first pass, those found so far."""
        if not self.complete and self._pass is not None:
            return self._summary(self._pass.found, self._pass.overflow)
        return self._facts

    @property
    def page_seconds(self) -> float:
        """Redis' time for a page, about."""
        return self._options.discovery_batch * KEY_SECONDS

    def add_queues_of_workers(self, context: Context, queues: Iterable[tuple[str, str]]) -> None:
        """Watch queues, by prefix and name, for which workers are connected, if they exist.

        Names with a colon are left to the next pass, which knows what such a key belongs to.
        Raises `RedisFailure`.
        """
        new = [
            name
            for prefix, text in queues
            if prefix in self._options.prefixes and ":" not in text
            if (name := (prefix.encode(), text.encode())) not in self._kinds
            if len(b":".join(name)) + 1 <= MAX_KEY_BYTES and self._wanted(name)
            if self._pass is None or name not in self._pass.found
        ]
        found = {
            name: kinds
            for name, kinds in zip(new, _kinds_of(context, new), strict=True)
            if kinds and self._has_room(name[0])
        }
        if self._pass is not None:
            for name, kinds in found.items():
                for kind in kinds:
                    self._add(self._pass, name, kind)
        if self.complete and found:
            self._kinds |= {name: _shared(frozenset(kinds)) for name, kinds in found.items()}
            self._facts = self._summary(self._kinds, self._overflow)

    def _has_room(self, prefix: bytes) -> bool:
        return sum(name[0] == prefix for name in self._kinds) < self._options.max

    def abandon(self) -> None:
        """Abort the pass in progress; the result of the last one remains."""
        self._pass = None

    def step(self, context: Context) -> bool:
        """Read one page; True when the pass is complete. Raises `RedisFailure`."""
        run = self._pass = self._current_pass(context)
        try:
            keys = self._scan(run)
        except RedisFailure as failure:
            if isinstance(failure, ReplyError) or len(context.client.nodes) == 1:
                raise
            address = run.nodes[0].settings.url.address
            context.errors.add(NodeError.of(address, failure), "SCAN")
            run.cursor, run.complete = b"0", False
        else:
            self._process(context, run, keys)
        if run.cursor == b"0":
            run.nodes.pop(0)
            run.scanned = None
        if run.nodes:
            return False
        self._finish(run, several_nodes=len(context.client.nodes) > 1)
        return True

    def _current_pass(self, context: Context) -> _Pass:
        """The pass in progress, or a new one.

        A cursor means something only to the process that returned it: another one skips keys. If
        the process has changed, its scan starts again; for a node of a cluster, only its own.
        """
        run = self._pass
        if run is None:
            return _Pass(list(context.client.nodes))
        process = _process_of(run.nodes[0])
        if run.scanned is None or process is None or process == run.scanned:
            return run
        if len(context.client.nodes) == 1:
            return _Pass(list(context.client.nodes))
        run.cursor, run.scanned = b"0", None
        return run

    def _scan(self, run: _Pass) -> Sequence[bytes]:
        count = self._options.discovery_batch
        scan = SCAN.on(more=(run.cursor, "MATCH", self._pattern, "COUNT", count))
        page = run.nodes[0].call(scan, SCAN.limit)
        if not (type(page) is list and len(page) == 2 and is_digits(page[0])):
            raise unexpected("SCAN")
        cursor, keys = page
        if not is_string_list(keys):
            raise unexpected("SCAN")
        run.cursor, run.scanned = cursor, _process_of(run.nodes[0])
        return list(keys)

    def _process(self, context: Context, run: _Pass, keys: Iterable[bytes]) -> None:
        ambiguous: dict[Name, set[str]] = {}
        split = [each for each in (split_queue_key(k, self._prefixes) for k in keys) if each]
        self._find_owners(context, run, {parts[:2] for parts in split})
        for prefix, text, kind in split:
            name = (prefix, text)
            if any(run.owners[owner] for owner in _owners_of(name)):
                continue
            if len(b":".join(name)) + 1 > MAX_KEY_BYTES:
                self._skip_long(context, run, name)
            elif b":" in text and name not in self._kinds and name not in run.found:
                ambiguous.setdefault(name, set()).add(kind)
            else:
                self._add(run, name, kind)
        for name, kind in _verified(context, ambiguous):
            self._add(run, name, kind)

    def _find_owners(self, context: Context, run: _Pass, names: Iterable[Name]) -> None:
        """Find out whether the names that own these, by their look, are queues.

        Redis is asked, because SCAN may return the owner later, and because it may be excluded, or
        belong to another shard.
        """
        possible = {owner for name in names for owner in _owners_of(name)}.difference(run.owners)
        known = {name for name in possible if name in run.found or name in self._kinds}
        asked = sorted(possible - known)
        run.owners |= dict.fromkeys(known, True)
        run.owners |= zip(asked, _exist(context, asked), strict=True)

    def _add(self, run: _Pass, name: Name, kind: str) -> None:
        kinds = run.found.get(name)
        if kinds is not None:
            kinds.add(kind)
        elif not self._wanted(name):
            return
        elif run.counts[name[0]] < self._options.max or name in self._kinds:
            run.found[name] = {kind}
            run.counts[name[0]] += 1
        else:
            run.overflow.setdefault(name[0], set()).add(hash(name[1]))

    def _skip_long(self, context: Context, run: _Pass, name: Name) -> None:
        """Count a queue whose key is too long, without matching its name."""
        if _in_shard(self._options, _decode(name[0]), _decode(name[1])):
            outcome = f"skipped queues whose key has more than {MAX_KEY_BYTES} bytes"
            context.errors.add_oversized(outcome)
            run.overflow.setdefault(name[0], set()).add(hash(name[1]))

    def _finish(self, run: _Pass, *, several_nodes: bool) -> None:
        known = {name: _shared(frozenset(kinds)) for name, kinds in run.found.items()}
        # one pass does not prove a queue gone: a worker's stalled-check may be missing for one
        # interval, and a slot may have migrated to a node that was already scanned
        missed = {
            name
            for name, kinds in self._kinds.items()
            if name not in known and (several_nodes or kinds == _WORKER_ONLY)
            if name not in self._missed or not run.complete
        }
        known |= {name: self._kinds[name] for name in missed}
        self._missed = missed if run.complete else self._missed
        facts = self._summary(known, run.overflow)
        self._kinds, self._overflow = known, run.overflow
        if facts.queues == self._facts.queues:
            facts = Discovered(self._facts.queues, facts.prefixes)
        self._facts = facts
        self._pass = None
        self.complete = self.complete or run.complete

    def _summary(
        self,
        found: dict[Name, frozenset[str]] | dict[Name, set[str]],
        overflow: dict[bytes, set[int]],
    ) -> Discovered:
        queues = list(self._static)
        counts = {}
        for prefix in self._options.prefixes:
            raw = prefix.encode()
            names = [name for name in found if name[0] == raw]
            # watched queues first, so that the maximum does not make queues appear and disappear
            names.sort(key=lambda name: (name not in self._kinds, name))
            static = [queue for queue in self._static if queue.prefix == prefix]
            added = _unique_queues(prefix, names, static, self._options.max - len(static))
            queues += added
            keys = {kind: sum(kind in found[name] for name in names) for kind in QUEUE_KEYS}
            duplicates = {queue.key for queue in static}
            others = sum(b":".join(name) + b":" not in duplicates for name in names)
            counts[prefix] = PrefixCount(
                queues=len(static) + len(added),
                dropped=others - len(added) + len(overflow.get(raw, ())),
                keys=keys,
            )
        return Discovered(tuple(sorted(queues, key=lambda q: (q.prefix, q.name))), counts)

    def _wanted(self, name: Name) -> bool:
        text = _decode(name[1])
        if not self._included.match(text) or self._excluded.match(text):
            return False
        return _in_shard(self._options, _decode(name[0]), text)


def _process_of(node: Client) -> _Process | None:
    """The server process: its run ID; if that is hidden, the time of the connection to it."""
    known = node.metadata
    return None if known is None else known.run_id or known.connected_at


def _owners_of(name: Name) -> Iterator[Name]:
    """The queues to which the key belongs that looks like a key of this one, if they exist."""
    prefix, text = name
    for match in OWNED_KEYS.finditer(text, 1):
        yield prefix, text[: match.start()]


def _exist(context: Context, names: Sequence[Name]) -> list[bool]:
    """Whether each queue has one of its keys; not if the commands are not permitted."""
    return [bool(kinds) for kinds in _kinds_of(context, names)]


def _kinds_of(context: Context, names: Sequence[Name]) -> list[set[str]]:
    """The keys of each queue that exist; none if the commands are not permitted."""
    if not names:
        return []
    commands = [each.on(b":".join(name) + b":") for name in names for each in EXISTS]
    limit = len(names) * sum(command.limit for command in EXISTS)
    replies = context.client.batch(b"".join(commands), len(commands), limit).replies
    groups = zip(*(iter(replies),) * len(EXISTS), strict=True)
    return [
        {kind for kind, reply in zip(QUEUE_KEYS, group, strict=True) if reply == 1}
        for group in groups
    ]


def _verified(context: Context, ambiguous: dict[Name, set[str]]) -> Iterator[tuple[Name, str]]:
    """The ambiguous keys that belong to a queue.

    A name with a colon may belong to a job or a scheduler named `meta` or `id` of another queue:
    `bull:mail:repeat:id`. A queue's `meta` is a hash without the fields of a job; its other two
    keys are strings.
    """
    asked = [(name, kind) for name, kinds in ambiguous.items() for kind in sorted(kinds)]
    if not asked:
        return
    packed = b"".join(_verification(b":".join(name) + b":", kind) for name, kind in asked)
    limit = len(asked) * META_FIELDS.limit
    replies = context.client.batch(packed, len(asked), limit).replies
    for (name, kind), reply in zip(asked, replies, strict=True):
        # if the verifying command is not permitted, assume that the key belongs to a queue
        if _is_queue_key(kind, reply) or (isinstance(reply, ReplyError) and reply.not_available):
            yield name, kind


def _unique_queues(
    prefix: str, names: Sequence[Name], static: Sequence[Queue], room: int
) -> list[Queue]:
    """Queues for the names, except static ones and those whose shown name is already used.

    Two names that are not UTF-8 may look the same when decoded. Prometheus rejects a page with a
    duplicate series, so the second queue is omitted and counted as dropped.
    """
    taken = {queue.name for queue in static}
    queues: list[Queue] = []
    for name in names:
        text = _decode(name[1])
        if len(queues) < room and text not in taken:
            taken.add(text)
            queues.append(Queue(prefix, text, b":".join(name) + b":"))
    return queues


@lru_cache(maxsize=64)
def _shared(kinds: frozenset[str]) -> frozenset[str]:
    """The same object for equal kinds, to save memory: there are few combinations."""
    return kinds


def _static_queues(options: Queues) -> tuple[Queue, ...]:
    return tuple(
        queue_of(prefix, name, static=True)
        for prefix in options.prefixes
        for name in dict.fromkeys(options.static)
        if _in_shard(options, prefix, name)
    )


def _in_shard(options: Queues, prefix: str, name: str) -> bool:
    return options.shard is None or options.shard.owns(prefix, name)


def _verification(base: bytes, kind: str) -> bytes:
    if kind == "meta":
        return META_FIELDS.on(base)
    return TYPE.on(base + kind.encode())


def _is_queue_key(kind: str, reply: Reply) -> bool:
    if kind == "meta":
        return isinstance(reply, list) and not any(reply)
    return bool(reply == b"string")


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _matcher(patterns: Sequence[str]) -> re.Pattern[str]:
    """A pattern that matches whatever any of the globs matches; without globs, nothing."""
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")

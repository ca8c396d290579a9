"""The client of a cluster: a socket to each master, with batches split by slot."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from exporter.config.models import Connection
from exporter.connection.backoff import Backoff
from exporter.connection.client import Client, Replies, Reply
from exporter.connection.command import ASKING, CLUSTER_SLOTS
from exporter.connection.errors import ErrorClass, NodeError, RedisFailure, ReplyError
from exporter.connection.metadata import Metadata
from exporter.connection.node import NodeClient
from exporter.connection.routing import Plan, Run, plan_of
from exporter.connection.slots import (
    Address,
    Redirection,
    Slots,
    format_address,
    read_slots,
    redirection,
)


@dataclass(frozen=True, slots=True)
class _Redirected:
    """A command that a node redirected to another one."""

    place: int
    packed: bytes
    to: Redirection


_FIRST_BACKOFF: Final = 1.0
_MAX_BACKOFF: Final = 60.0
_WAIT_PER_COST: Final = 10
"""Longest wait, in times of what the last attempt took: one that is refused at once costs nothing,
and may be repeated at every poll."""


@dataclass(slots=True)
class _Outage:
    """A node that could not be connected to."""

    backoff: Backoff
    failure: RedisFailure
    next_try: float = 0.0
    """Monotonic time."""


class ClusterClient(Client):
    """Queries all masters of a cluster as if they were one server.

    A batch is split by slot, and each node receives its part. If a node fails, each reply of its
    part is a `NodeError`; the node is tried again after `confirm`. A redirection is followed once.
    A node that does not accept connections would cost its timeouts at every poll, so it is tried
    again after waits that double.
    """

    def __init__(self, settings: Connection, name: str) -> None:
        super().__init__(settings, name)
        self._slots: Slots | None = None
        self._clients: dict[Address, NodeClient] = {}
        self._failures: dict[Address, RedisFailure] = {}
        """Failures of nodes that are not tried again before the next `confirm`."""
        self._outages: dict[Address, _Outage] = {}
        self._plans: dict[bytes, Plan] = {}
        """Plans of the batches since the last `confirm`; most recur at every poll."""
        self._previous_plans: dict[bytes, Plan] = {}

    @property
    def connected(self) -> bool:
        return any(client.connected for client in self._clients.values())

    @property
    def nodes(self) -> Sequence[NodeClient]:
        return [self._client(address) for address in self._masters()]

    def connect(self) -> Metadata:
        """Raises `RedisFailure` if neither the start node nor any known node replies."""
        self.close()
        self.failure = None
        self._failures.clear()
        start = (self.settings.url.host, self.settings.url.port)
        candidates = sorted([start, *self._masters()], key=self._outages.__contains__)
        self._outages.clear()
        return self._update_slots(candidates)

    def confirm(self) -> None:
        """Update the slot map, and forget nodes that no longer serve a slot."""
        self._previous_plans, self._plans = self._plans, {}
        live = [address for address, client in self._clients.items() if client.connected]
        # ask failed nodes last: one that is partitioned has an outdated map
        live.sort(key=self._failures.__contains__)
        self._failures.clear()
        self._update_slots(live)
        for address in set(self._clients).difference(self._masters()):
            self._clients.pop(address).close()
            self._outages.pop(address, None)

    def batch(self, packed: bytes, count: int, limit: int) -> Replies:
        """See `Client.batch`. Raises only if no node is left; `limit` holds for each node."""
        slots = self._slots
        if slots is None or not self.connected:
            raise self.failure or RedisFailure(ErrorClass.CONNECTION, "not connected")
        plan = self._plan(packed, count)
        replies: list[Reply] = [None] * plan.size
        size = 0
        redirected: list[_Redirected] = []
        for address, runs in self._shares(plan, slots).items():
            size += self._exchange(address, runs, limit, replies, redirected)
        size += self._follow(redirected, limit, replies)
        if not self.connected:
            self.failure = next(iter(self._failures.values()))
            raise self.failure
        joined = plan.join(replies)
        failed = tuple(i for i, reply in enumerate(joined) if isinstance(reply, ReplyError))
        return Replies(joined, failed, size)

    def ping(self) -> float:
        """The round trip to the slowest node that replies. Raises `RedisFailure` if none does."""
        times = []
        self.ping_refusal = None
        for address in self._masters():
            try:
                node = self._connected(address)
                times.append(node.ping())
                self.ping_refusal = self.ping_refusal or node.ping_refusal
            except RedisFailure as failure:
                self._failures[address] = failure
        if not times:
            self.close()
            self.failure = next(iter(self._failures.values()), None)
            raise self.failure or RedisFailure(ErrorClass.LOADING, "no node serves any slot")
        return max(times)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def abort(self) -> None:
        for client in tuple(self._clients.values()):
            client.abort()

    # --- nodes -------------------------------------------------------------------------------

    def _masters(self) -> tuple[Address, ...]:
        return self._slots.masters if self._slots is not None else ()

    def _client(self, address: Address) -> NodeClient:
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = NodeClient(
                self.settings.at(*address), self.name, in_cluster=True
            )
        return client

    def _connected(self, address: Address) -> NodeClient:
        """The node's client, connected. Raises `RedisFailure`, without a try if none is due."""
        client, outage = self._client(address), self._outages.get(address)
        if client.connected:
            return client
        started = time.monotonic()
        if outage is not None and started < outage.next_try:
            raise RedisFailure(outage.failure.kind, outage.failure.text)
        try:
            client.connect()
        except RedisFailure as failure:
            if outage is None:
                outage = _Outage(Backoff(_FIRST_BACKOFF, _MAX_BACKOFF), failure)
                self._outages[address] = outage
            now = time.monotonic()
            wait = min(outage.backoff.next(), _WAIT_PER_COST * (now - started))
            outage.failure, outage.next_try = failure, now + wait
            raise
        self._outages.pop(address, None)
        return client

    def _update_slots(self, candidates: Sequence[Address]) -> Metadata:
        """Update the slot map from the first node that replies. Raises `RedisFailure` if none."""
        last: RedisFailure | None = None
        for address in candidates:
            try:
                client = self._connected(address)
                known = client.metadata or client.connect()
                self._slots = read_slots(_cluster_slots(client), address)
            except RedisFailure as failure:
                last = failure
            else:
                self.metadata = self._cluster_metadata(known, self._slots)
                return self.metadata
        self.close()
        self.failure = last or RedisFailure(ErrorClass.CONNECTION, "not connected")
        raise self.failure

    def _cluster_metadata(self, known: Metadata, slots: Slots) -> Metadata:
        """The metadata of the cluster, based on that of one node."""
        url = self.settings.url
        return replace(
            known,
            address=url.address,
            url=str(url),
            url_hash=url.hash,
            client_id=None,
            db_size=None,
            run_id=min(slots.ids, default=""),
            role="master",
            replication_id="",
            master_link="",
            masters=tuple(map(format_address, slots.masters)),
            node_ids=tuple(sorted(slots.ids)),
        )

    # --- batches -----------------------------------------------------------------------------

    def _plan(self, packed: bytes, count: int) -> Plan:
        plan = self._plans.get(packed) or self._previous_plans.get(packed) or plan_of(packed, count)
        self._plans[packed] = plan
        return plan

    def _shares(self, plan: Plan, slots: Slots) -> dict[Address | None, list[Run]]:
        """The runs of each node; under None, those whose slot no node serves."""
        any_node = next((a for a, client in self._clients.items() if client.connected), None)
        shares: dict[Address | None, list[Run]] = defaultdict(list)
        for run in plan.runs:
            shares[any_node if run.slot is None else slots.owners[run.slot]].append(run)
        return shares

    def _exchange(
        self,
        address: Address | None,
        runs: Sequence[Run],
        limit: int,
        replies: list[Reply],
        redirected: list[_Redirected],
    ) -> int:
        """Send runs to one node and place its replies; returns their size in bytes."""
        packed, count = b"".join(run.packed for run in runs), sum(run.count for run in runs)
        batch = self._ask(address, packed, count, limit)
        start = 0
        for run in runs:
            replies[run.start : run.start + run.count] = batch.replies[start : start + run.count]
            start += run.count
        if batch.failed and address is not None:
            redirected += _redirections(runs, batch, address)
        return batch.size

    def _ask(self, address: Address | None, packed: bytes, count: int, limit: int) -> Replies:
        """The replies of one node; if it failed, a `NodeError` for each command."""
        if address is None:
            error = NodeError(ErrorClass.LOADING, "no node serves the slot")
            return Replies([error] * count, tuple(range(count)))
        try:
            if address in self._failures:
                raise self._failures[address]
            return self._connected(address).batch(packed, count, limit)
        except RedisFailure as failure:
            self._failures[address] = failure
            error = NodeError.of(format_address(address), failure)
            return Replies([error] * count, tuple(range(count)))

    def _follow(self, redirected: Sequence[_Redirected], limit: int, replies: list[Reply]) -> int:
        """Send redirected commands to their new nodes, once; returns the size of the replies."""
        by_target: dict[Address, list[_Redirected]] = defaultdict(list)
        for command in redirected:
            if self._slots is not None and not command.to.asking:
                self._slots.owners[command.to.slot] = command.to.address
            by_target[command.to.address].append(command)
        size = 0
        for address, commands in by_target.items():
            asking = [ASKING.on() if command.to.asking else b"" for command in commands]
            packed = b"".join(a + c.packed for a, c in zip(asking, commands, strict=True))
            asked = sum(map(bool, asking))
            batch = self._ask(address, packed, len(commands) + asked, limit + asked * ASKING.limit)
            size += batch.size
            found = iter(batch.replies)
            for command, prelude in zip(commands, asking, strict=True):
                if prelude:
                    next(found)
                replies[command.place] = next(found)
        return size


def _cluster_slots(client: NodeClient) -> Reply:
    try:
        return client.call(CLUSTER_SLOTS.on(), CLUSTER_SLOTS.limit)
    except ReplyError as error:
        if "cluster support disabled" in error.text:
            text = f"{client.settings.url.address} is not a cluster node; remove cluster: true"
            raise RedisFailure(ErrorClass.PROTOCOL, text) from None
        raise RedisFailure(
            error.kind, f"CLUSTER SLOTS is required but was refused: {error.text}"
        ) from None


def _redirections(runs: Sequence[Run], batch: Replies, address: Address) -> Iterator[_Redirected]:
    failed = iter(batch.failed)
    place, end = next(failed, None), 0
    for run in runs:
        start, end = end, end + run.count
        commands: list[bytes] = []
        while place is not None and place < end:
            to = redirection(batch.replies[place].text, address)
            if to is not None:
                commands = commands or run.commands()
                yield _Redirected(run.start + place - start, commands[place - start], to)
            place = next(failed, None)

"""The client of one server: a socket, and batches of packed commands."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import hiredis

from exporter.config.models import Connection
from exporter.connection.client import Client, Replies, Reply
from exporter.connection.command import (
    CLIENT_ID,
    CLIENT_SETNAME,
    CLUSTER_SLOTS,
    DBSIZE,
    INFO,
    PING,
)
from exporter.connection.errors import (
    ErrorClass,
    RedisFailure,
    ReplyError,
    failure_of,
    forget_frames,
)
from exporter.connection.metadata import Info, Metadata, parse_info
from exporter.connection.reply_bound import ReplyBound

if TYPE_CHECKING:
    from exporter.connection.dial import RedisConnection

_RECEIVE_BYTES: Final = 1 << 18
_TIMER_SLACK: Final = 0.05
"""Fraction of the timeout by which a batch may exceed it."""
_CONFIRM_SECONDS: Final = 5.0
"""How often sentinels are asked whether the master is still the same."""

# Error classes that concern the whole connection, not one command of a batch.
_CONNECTION_WIDE: Final = frozenset({ErrorClass.AUTH, ErrorClass.LOADING, ErrorClass.CONNECTION})


class NodeClient(Client):
    """One socket to one server.

    redis-py connects, authenticates and selects the database. Replies are read from its socket by
    our own hiredis reader, because redis-py takes five times as long per command.
    """

    def __init__(self, settings: Connection, name: str, *, in_cluster: bool = False) -> None:
        super().__init__(settings, name)
        self._in_cluster = in_cluster
        """Whether a `ClusterClient` reads the other masters."""
        self._connection: RedisConnection | None = None
        self._socket: socket.socket | None = None
        self._reader: hiredis.Reader | None = None
        self._view = memoryview(bytearray(_RECEIVE_BYTES))
        self._errors_seen = 0
        self._last_error: ReplyError | None = None
        self._confirm_at = 0.0

    @property
    def connected(self) -> bool:
        return self._socket is not None

    @property
    def nodes(self) -> Sequence[NodeClient]:
        return (self,)

    def connect(self) -> Metadata:
        self.close()
        self.failure = None
        self._confirm_at = time.monotonic() + _CONFIRM_SECONDS
        try:
            self.metadata = self._dial()
        except RedisFailure as error:
            self.close()
            self.failure = _with_hint(error, self.settings)
            raise self.failure from None
        self._leave_replica()
        if self.failure is not None:
            raise self.failure
        return self.metadata

    def confirm(self) -> None:
        """Ask sentinels every 5 s if this is still the master. Raises `RedisFailure` if not.

        After a manual failover the old master keeps its role and its clients for about 10 s; one
        that is partitioned from its sentinels keeps them for ever.
        """
        known, sentinel = self.metadata, self.settings.sentinel
        if known is None or sentinel is None or time.monotonic() < self._confirm_at:
            return
        self._confirm_at = time.monotonic() + _CONFIRM_SECONDS
        from exporter.connection.sentinel import find_master

        try:
            master, reported_by = find_master(self.settings, sentinel)
        except RedisFailure:
            return  # a master that replies counts as one until a sentinel reports another
        if master.url.address != known.address:
            self.close()
            text = (
                f"sentinel {reported_by} reports {master.url.address} as the master, "
                f"not {known.address}"
            )
            self.failure = RedisFailure(ErrorClass.CONNECTION, text)
            raise self.failure

    def update_metadata(self, info: Info) -> None:
        """Update `metadata` from INFO; disconnect from a master that has become a replica."""
        super().update_metadata(info)
        self._leave_replica()

    def batch(self, packed: bytes, count: int, limit: int) -> Replies:
        """See `Client.batch`. `timeout_seconds` limits the whole batch."""
        if self._socket is None or self._reader is None:
            raise self.failure or RedisFailure(ErrorClass.CONNECTION, "not connected")
        errors_before = self._errors_seen
        try:
            replies, size = self._exchange(self._socket, self._reader, packed, count, limit)
        except Exception as error:
            self.close()
            reply = self._last_error if self._errors_seen > errors_before else None
            disconnected = isinstance(error, ConnectionError)
            if disconnected and reply is not None and reply.kind in _CONNECTION_WIDE:
                # before Redis closes a connection that it rejects, it says why
                self.failure = RedisFailure(reply.kind, reply.text)
            else:
                self.failure = failure_of(error)
            raise self.failure from None
        if self._errors_seen == errors_before:
            return Replies(replies, size=size)
        failed = tuple(i for i, reply in enumerate(replies) if isinstance(reply, ReplyError))
        for i in failed:
            if replies[i].kind in _CONNECTION_WIDE:
                raise RedisFailure(replies[i].kind, replies[i].text)
        return Replies(replies, failed, size)

    def ping(self) -> float:
        start = time.perf_counter()
        reply = self.batch(PING.on(), 1, PING.limit).replies[0]
        seconds = time.perf_counter() - start
        self.ping_refusal = None
        if isinstance(reply, ReplyError):
            self.ping_refusal = None if reply.not_available else reply
        elif reply != b"PONG":
            raise RedisFailure(ErrorClass.PROTOCOL, f"unexpected reply to PING: {reply!r:.80}")
        return seconds

    def close(self) -> None:
        connection, self._connection = self._connection, None
        self._socket = self._reader = None
        forget_frames(self.failure)
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.disconnect()

    def abort(self) -> None:
        sock = self._socket
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _leave_replica(self) -> None:
        """Disconnect if the master that a sentinel reported is a replica: a failover happened."""
        known = self.metadata
        if known is None or not known.sentinel or known.role != "slave":
            return
        self.close()
        text = f"{known.address}, the master according to sentinel {known.sentinel}, is a replica"
        self.failure = RedisFailure(ErrorClass.READONLY, text)

    def _exchange(
        self, sock: socket.socket, reader: hiredis.Reader, packed: bytes, count: int, limit: int
    ) -> tuple[list[Reply], int]:
        # this header makes the reader return all replies as one list; taking them one by one takes
        # four times as long
        reader.feed(b"*%d\r\n" % count)
        timeout = armed = self.settings.timeout_seconds
        deadline = time.monotonic() + timeout
        sock.settimeout(armed)
        with contextlib.suppress(ConnectionError):  # a last reply may say why
            sock.sendall(packed)
        bound = ReplyBound(limit)
        while (replies := reader.gets()) is False:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"timed out after {timeout:g} s waiting for the reply")
            if left < armed - timeout * _TIMER_SLACK:  # setting it is a system call
                armed = left
                sock.settimeout(armed)
            received = sock.recv_into(self._view)
            if not received:
                raise ConnectionError("Redis closed the connection")
            data = bytes(self._view[:received])
            bound.add(data)
            reader.feed(data)
        if reader.has_data():  # every later reply would belong to the command before
            raise hiredis.ProtocolError("received more replies than commands sent")
        return replies, bound.size

    def _reply_error(self, text: str) -> ReplyError:
        self._errors_seen += 1
        self._last_error = ReplyError(text)
        return self._last_error

    def _dial(self) -> Metadata:
        from exporter.connection.dial import dial  # imports redis-py: see there

        node, sentinel = self.settings, ""
        if node.sentinel is not None:
            from exporter.connection.sentinel import find_master

            node, sentinel = find_master(node, node.sentinel)
        self._connection = dial(node)
        # redis-py does not expose its socket
        self._socket = self._connection._sock  # noqa: SLF001
        self._reader = hiredis.Reader(replyError=self._reply_error)
        return self._identify(node.url.address, sentinel)

    def _identify(self, address: str, sentinel: str) -> Metadata:
        """Set the connection's name and identify the server; what Redis refuses stays unknown.

        Raises `RedisFailure` if it is a sentinel: it has no keys, and refuses most commands.
        """
        commands = (
            (CLIENT_SETNAME, (self.name,)),
            (CLIENT_ID, ()),
            (DBSIZE, ()),
            (INFO, ("server",)),
            (INFO, ("replication",)),
        )
        packed = b"".join(command.on(more=more) for command, more in commands)
        limit = sum(command.limit for command, _ in commands)
        _, client_id, size, *infos = self.batch(packed, len(commands), limit).replies
        info: dict[str, str] = {}
        for reply in infos:
            if isinstance(reply, bytes):
                info |= parse_info(reply)
        url = self.settings.url
        known = Metadata(
            name=self.name,
            address=address,
            url=str(url),
            url_hash=url.hash,
            db=url.db,
            connected_at=time.time(),
            user=self.settings.user or "default",
            client_id=client_id if isinstance(client_id, int) else None,
            db_size=size if isinstance(size, int) else None,
            sentinel=sentinel,
        )
        known = known.with_info(info)
        if known.mode == "sentinel":
            text = (
                f"{address} is a sentinel, not a Redis with queues; set sentinel.master, and list "
                "it in sentinel.nodes"
            )
            raise RedisFailure(ErrorClass.PROTOCOL, text)
        if known.mode == "cluster" and not self._in_cluster:
            known = replace(known, other_masters=self._other_masters())
        return known

    def _other_masters(self) -> int:
        """Number of masters that serve slots, without this one; 0 if that is refused."""
        from exporter.connection.slots import read_slots  # imports redis-py: see `dial`

        url = self.settings.url
        try:
            slots = read_slots(
                self.call(CLUSTER_SLOTS.on(), CLUSTER_SLOTS.limit), (url.host, url.port)
            )
        except ReplyError:
            return 0
        return max(0, len(slots.masters) - 1)


_TLS_ALERT: Final = r'got "\x15"'
"""How hiredis shows the first byte of an alert, with which a TLS server answers plain text."""


def _with_hint(failure: RedisFailure, settings: Connection) -> RedisFailure:
    """The failure of a login; with what to do if the first reply is none of Redis' protocol."""
    if failure.kind is not ErrorClass.PROTOCOL or "as reply type byte" not in failure.text:
        return failure
    address = settings.url.address
    hint = f"a server answers at {address}, but not as Redis does; check host and port"
    if _TLS_ALERT in failure.text:
        hint = f"this is a TLS port; use rediss://{address}"
    return RedisFailure(failure.kind, f"{failure.text}: {hint}")

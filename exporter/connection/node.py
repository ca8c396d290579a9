"""The client of one server: a socket, and batches of packed commands."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import hiredis

from exporter.config.models import Connection
from exporter.connection.client import Client, Replies, Reply
from exporter.connection.command import CLIENT_ID, CLIENT_SETNAME, DBSIZE, INFO, PING
from exporter.connection.errors import (
    ErrorClass,
    RedisFailure,
    ReplyError,
    failure_of,
    forget_frames,
)
from exporter.connection.metadata import Info, Metadata, parse_info

if TYPE_CHECKING:
    from exporter.connection.dial import RedisConnection

_RECEIVE_BYTES: Final = 1 << 18
_TIMER_SLACK: Final = 0.05
"""Share of the timeout by which a batch may outlast it."""
_CONFIRM_SECONDS: Final = 5.0
"""How often sentinels are asked whether the master still is one."""

# Errors that say something of the whole connection, not of one command in a batch.
_CONNECTION_WIDE: Final = frozenset({ErrorClass.AUTH, ErrorClass.LOADING, ErrorClass.CONNECTION})


class NodeClient(Client):
    """One socket to one server.

    redis-py dials, authenticates and selects; replies are read from its socket by a hiredis
    reader of our own, because redis-py's own reading costs five times as much for each command.
    """

    def __init__(self, settings: Connection, name: str) -> None:
        super().__init__(settings, name)
        self._connection: RedisConnection | None = None
        self._socket: socket.socket | None = None
        self._reader: hiredis.Reader | None = None
        self._buffer: Any = bytearray(_RECEIVE_BYTES)
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
            self.metadata = self._dial_and_introduce()
        except RedisFailure as failure:
            self.close()
            self.failure = failure
            raise
        self._leave_replica()
        if self.failure is not None:
            raise self.failure
        return self.metadata

    def confirm(self) -> None:
        """See now and then whether sentinels still name this server. Raises `RedisFailure` if not.

        After a failover on demand the old master stays one, with its clients, for some ten seconds;
        one that is cut off from its sentinels stays one for ever.
        """
        known, sentinel = self.metadata, self.settings.sentinel
        if known is None or sentinel is None or time.monotonic() < self._confirm_at:
            return
        self._confirm_at = time.monotonic() + _CONFIRM_SECONDS
        from exporter.connection.sentinel import find_master

        try:
            master, named_by = find_master(self.settings, sentinel)
        except RedisFailure:
            return  # a master that answers is one until someone says otherwise
        if master.url.address != known.address:
            self.close()
            text = f"{named_by} names {master.url.address} as the master, not {known.address}"
            self.failure = RedisFailure(ErrorClass.CONNECTION, text)
            raise self.failure

    def learn(self, info: Info) -> None:
        """Bring `metadata` up to date with INFO; a master that has become a replica is left."""
        super().learn(info)
        self._leave_replica()

    def batch(self, packed: bytes, count: int) -> Replies:
        """See `Client.batch`. All of it has `timeout_seconds`."""
        if self._socket is None or self._reader is None:
            raise self.failure or RedisFailure(ErrorClass.CONNECTION, "not connected")
        errors_before = self._errors_seen
        try:
            replies, size = self._exchange(self._socket, self._reader, packed, count)
        except Exception as error:
            self.close()
            told = self._last_error if self._errors_seen > errors_before else None
            hung_up = isinstance(error, ConnectionError)
            if hung_up and told is not None and told.kind in _CONNECTION_WIDE:
                # whom Redis does not let in it tells why before it hangs up
                self.failure = RedisFailure(told.kind, told.text)
            else:
                self.failure = failure_of(error)
            raise self.failure from None
        if self._errors_seen == errors_before:
            return Replies(replies, size=size)
        failed = tuple(i for i, reply in enumerate(replies) if isinstance(reply, ReplyError))
        if failed and replies[failed[0]].kind in _CONNECTION_WIDE:
            raise RedisFailure(replies[failed[0]].kind, replies[failed[0]].text)
        return Replies(replies, failed, size)

    def ping(self) -> float:
        start = time.perf_counter()
        reply = self.batch(PING.on(), 1).replies[0]
        seconds = time.perf_counter() - start
        if isinstance(reply, ReplyError) and not reply.not_available:
            raise reply
        if not isinstance(reply, ReplyError) and reply != b"PONG":
            raise RedisFailure(ErrorClass.PROTOCOL, f"PING was answered {reply!r:.80}")
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
        """Where sentinels lead to the master, a replica is a sign of a failover."""
        known = self.metadata
        if known is None or not known.sentinel or known.role != "slave":
            return
        self.close()
        text = f"{known.address}, named as the master by sentinel {known.sentinel}, is a replica"
        self.failure = RedisFailure(ErrorClass.READONLY, text)

    def _exchange(
        self, sock: socket.socket, reader: hiredis.Reader, packed: bytes, count: int
    ) -> tuple[list[Reply], int]:
        # the reader makes a list of all replies at once if it is told that they are one; taking
        # them one by one costs four times as much
        reader.feed(b"*%d\r\n" % count)
        timeout = armed = self.settings.timeout_seconds
        deadline = time.monotonic() + timeout
        sock.settimeout(armed)
        with contextlib.suppress(ConnectionError):  # there may be a last answer that says why
            sock.sendall(packed)
        size = 0
        while (replies := reader.gets()) is False:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no complete answer in {timeout:g} s")
            if left < armed - timeout * _TIMER_SLACK:  # setting it is a system call
                armed = left
                sock.settimeout(armed)
            received = sock.recv_into(self._buffer)
            if not received:
                raise ConnectionError("Redis closed the connection")
            size += received
            reader.feed(self._buffer, 0, received)
        if reader.has_data():  # from now on each answer would be taken for the next question's
            raise hiredis.ProtocolError("more was answered than asked")
        return replies, size

    def _reply_error(self, text: str) -> ReplyError:
        self._errors_seen += 1
        self._last_error = ReplyError(text)
        return self._last_error

    def _dial_and_introduce(self) -> Metadata:
        from exporter.connection.dial import dial  # imports redis-py: see there

        node, sentinel = self.settings, ""
        if node.sentinel is not None:
            from exporter.connection.sentinel import find_master

            node, sentinel = find_master(node, node.sentinel)
        self._connection = dial(node)
        # redis-py has no public way to its socket
        self._socket = self._connection._sock  # noqa: SLF001
        self._reader = hiredis.Reader(replyError=self._reply_error)
        return self._introduce(node.url.address, sentinel)

    def _introduce(self, address: str, sentinel: str) -> Metadata:
        """Name the connection and ask who is there; what Redis refuses stays unknown."""
        commands = (
            CLIENT_SETNAME.on(more=(self.name,)),
            CLIENT_ID.on(),
            DBSIZE.on(),
            INFO.on(more=("server",)),
            INFO.on(more=("replication",)),
        )
        _, client_id, size, *infos = self.batch(b"".join(commands), len(commands)).replies
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
            client_id=client_id if isinstance(client_id, int) else None,
            db_size=size if isinstance(size, int) else None,
            sentinel=sentinel,
        )
        return known.with_info(info)

"""Keeps one connection alive: connects, pings, backs off, and logs every change."""

from __future__ import annotations

import logging
import time

from exporter.config.models import Events
from exporter.connection import Backoff, Client, ErrorClass, Metadata, RedisFailure, ReplyError
from exporter.log import REDIS, event
from exporter.state.histogram import Buckets
from exporter.state.snapshots import Histogram, LastError

logger = logging.getLogger(REDIS)

PING_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ConnectionSupervisor:
    """Supervises one client. After `check`, `failure` is None or why Redis cannot be reached."""

    def __init__(self, client: Client, connection: str, max_backoff: float, events: Events) -> None:
        """`events` says which buckets the times of PING have."""
        self._client = client
        self._connection = connection
        self._backoff = Backoff(base=0.25, cap=max_backoff)
        self._next_try = 0.0
        self._tries = 0
        self._unstable = False
        """True from the loss of a connection until the next successful poll."""
        self._ever_connected = False
        self._last_logged: tuple[ErrorClass, str] | None = None
        """The connection failure that was logged last, so that it is not repeated as a warning."""
        self._pings = Buckets(events.classic_buckets(PING_BUCKETS), native=events.native_buckets)
        self.ping_seconds: float | None = None
        self.reconnects = 0
        self.failure: RedisFailure | None = RedisFailure(ErrorClass.CONNECTION, "not tried yet")
        self.last_error: LastError | None = None
        self.ping_refusal: LastError | None = None
        """Why the server refuses PING although it is reached; None if it does not."""

    def check(self) -> bool:
        """Ping, after connecting if necessary and due. Returns whether Redis is reached."""
        try:
            if not self._client.connected and not self._connect():
                return False
            self._client.confirm()
            self._ping()
        except RedisFailure as failure:
            self._on_lost(failure)
            return False
        except Exception as error:
            # a bug must cost no more than this poll: the next one starts with a new connection
            logger.exception("unexpected error on a connection; this is a bug, please report it")
            self._on_lost(RedisFailure(ErrorClass.INTERNAL, type(error).__name__))
            return False
        self.failure = None
        return True

    def detect_loss(self) -> None:
        """Handle the loss of the connection during a call of a collector, if there was one."""
        if self.failure is None and self._client.failure is not None:
            self._on_lost(self._client.failure)

    def poll_succeeded(self) -> None:
        """A full poll with its discovery succeeded: retry at once after the next loss."""
        self._backoff.reset()
        self._unstable = False

    @property
    def next_try(self) -> float:
        """Monotonic time at which `check` connects again; infinite while Redis is reached."""
        return self._next_try if self.failure is not None else float("inf")

    def close(self) -> None:
        """Close the connection permanently."""
        self._client.close()
        event(logger, logging.INFO, "closed", connection=self._connection)

    def _on_lost(self, failure: RedisFailure) -> None:
        self._client.close()
        self._record_failure(failure)
        event(
            logger,
            logging.WARNING,
            "lost",
            connection=self._connection,
            error=failure.kind,
            detail=failure.text,
        )
        # the first retry is immediate: most losses are a restart or an idle timeout
        wait = self._backoff.next() if self._unstable else 0.0
        self._next_try = time.monotonic() + wait
        self._unstable = True

    @property
    def metadata(self) -> Metadata | None:
        """The server that the connection reaches, or reached last."""
        return self._client.metadata

    @property
    def pings(self) -> Histogram:
        """Round-trip times of all PINGs so far, in seconds."""
        return self._pings.frozen()

    def _connect(self) -> bool:
        if time.monotonic() < self._next_try:
            return False
        self._tries += 1
        try:
            metadata = self._client.connect()
        except RedisFailure as failure:
            self._on_connect_failed(failure)
            return False
        self._on_connected(metadata)
        return True

    def _on_connected(self, metadata: Metadata) -> None:
        again, tries = self._ever_connected, self._tries
        self._ever_connected = True
        self.reconnects += again
        self._tries = 0
        self._last_logged = None
        event(
            logger,
            logging.INFO,
            "reconnected" if again else "connected",
            connection=self._connection,
            url=metadata.url,
            url_hash=metadata.url_hash,
            sentinel=metadata.sentinel,
            address=metadata.address if metadata.sentinel else None,
            client_id=metadata.client_id,
            db=metadata.db,
            db_size=metadata.db_size,
            run_id=metadata.run_id,
            role=metadata.role,
            version=metadata.version,
            tries=tries,
        )
        try:
            seconds = self._ping()
        except RedisFailure:
            return  # the next check handles it
        event(
            logger,
            logging.INFO,
            "connection-test passed",
            connection=self._connection,
            ping_ms=round(seconds * 1000, 3),
            keys=metadata.db_size,
        )

    def _on_connect_failed(self, failure: RedisFailure) -> None:
        self._record_failure(failure)
        wait = self._backoff.next()
        self._next_try = time.monotonic() + wait
        changed = (failure.kind, failure.text) != self._last_logged
        self._last_logged = (failure.kind, failure.text)
        url = self._client.settings.url
        event(
            logger,
            logging.WARNING if changed else logging.DEBUG,
            "connection-test failed",
            connection=self._connection,
            url=url,
            url_hash=url.hash,
            error=failure.kind,
            detail=failure.text,
            tries=self._tries,
            next_try_seconds=round(wait, 3),
        )

    def _record_failure(self, failure: RedisFailure) -> None:
        self.failure = failure
        self.last_error = LastError(failure.kind, failure.text, time.time())
        self.ping_seconds = None
        self.ping_refusal = None

    def _ping(self) -> float:
        seconds = self._client.ping()
        self.ping_seconds = seconds
        self._pings.observe(seconds * 1000)
        self._note_refusal(self._client.ping_refusal)
        return seconds

    def _note_refusal(self, reply: ReplyError | None) -> None:
        before = self.ping_refusal
        known = (before.kind, before.text) if before is not None else None
        now = (reply.kind, reply.text) if reply is not None else None
        if now == known:
            return
        if reply is None:
            self.ping_refusal = None
        else:
            self.ping_refusal = LastError(reply.kind, reply.text, time.time())
        event(
            logger,
            logging.WARNING if reply is not None else logging.INFO,
            "PING refused" if reply is not None else "PING accepted",
            connection=self._connection,
            error=reply and reply.kind,
            detail=reply and reply.text,
        )

"""Keeping one connection alive: connecting, pinging, backing off, and saying so in the log."""

from __future__ import annotations

import logging
import time

from exporter.connection import Backoff, Client, ErrorClass, Metadata, RedisFailure
from exporter.log import REDIS, event
from exporter.state.histogram import Buckets
from exporter.state.snapshots import Histogram, LastError

logger = logging.getLogger(REDIS)

PING_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ConnectionSupervisor:
    """The life of one client. After `check`, `failure` is None or says why Redis is not reached."""

    def __init__(self, client: Client, connection: str, longest_wait: float) -> None:
        self._client = client
        self._connection = connection
        self._backoff = Backoff(base=0.25, cap=longest_wait)
        self._next_try = 0.0
        self._tries = 0
        self._unsettled = False
        """Whether the connection was lost and no poll has worked since."""
        self._ever_connected = False
        self._said: tuple[ErrorClass, str] | None = None
        self._pings = Buckets(PING_BUCKETS)
        self.ping_seconds: float | None = None
        self.reconnects = 0
        self.failure: RedisFailure | None = RedisFailure(ErrorClass.CONNECTION, "not tried yet")
        self.last_error: LastError | None = None

    def check(self) -> bool:
        """Connect if need be and it is time to, and ping; whether Redis is reached."""
        try:
            if not self._client.connected and not self._connect():
                return False
            self._client.confirm()
            self._ping()
        except RedisFailure as failure:
            self._lost(failure)
            return False
        except Exception as error:
            # whatever it is, it may cost this poll only: the next one begins with a new connection
            logger.exception("a connection failed by a mistake in the exporter; please report it")
            self._lost(RedisFailure(ErrorClass.INTERNAL, type(error).__name__))
            return False
        self.failure = None
        return True

    def notice(self) -> None:
        """See whether a call that others made has cost the connection."""
        if self.failure is None and self._client.failure is not None:
            self._lost(self._client.failure)

    def settle(self) -> None:
        """A whole poll, and discovery after it, has worked: the next loss is a new one."""
        self._backoff.reset()
        self._unsettled = False

    @property
    def next_try(self) -> float:
        """Monotonic time at which `check` connects again; infinite while Redis is reached."""
        return self._next_try if self.failure is not None else float("inf")

    def close(self) -> None:
        """Close the connection for good."""
        self._client.close()
        event(logger, logging.INFO, "closed", connection=self._connection)

    def _lost(self, failure: RedisFailure) -> None:
        self._client.close()
        self._note(failure)
        event(
            logger,
            logging.WARNING,
            "lost",
            connection=self._connection,
            error=failure.kind,
            detail=failure.text,
        )
        # the first try comes at once: most losses are a restart or an idle timeout
        wait = self._backoff.next() if self._unsettled else 0.0
        self._next_try = time.monotonic() + wait
        self._unsettled = True

    @property
    def metadata(self) -> Metadata | None:
        """Whom the connection reaches, or reached last."""
        return self._client.metadata

    @property
    def pings(self) -> Histogram:
        """The round trips so far."""
        return self._pings.frozen()

    def _connect(self) -> bool:
        if time.monotonic() < self._next_try:
            return False
        self._tries += 1
        try:
            metadata = self._client.connect()
        except RedisFailure as failure:
            self._refused(failure)
            return False
        self._connected(metadata)
        return True

    def _connected(self, metadata: Metadata) -> None:
        again, tries = self._ever_connected, self._tries
        self._ever_connected = True
        self.reconnects += again
        self._tries = 0
        self._said = None
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
            return  # the next check will meet it again
        event(
            logger,
            logging.INFO,
            "connection-test passed",
            connection=self._connection,
            ping_ms=round(seconds * 1000, 3),
            keys=metadata.db_size,
        )

    def _refused(self, failure: RedisFailure) -> None:
        self._note(failure)
        wait = self._backoff.next()
        self._next_try = time.monotonic() + wait
        news = (failure.kind, failure.text) != self._said
        self._said = (failure.kind, failure.text)
        url = self._client.settings.url
        event(
            logger,
            logging.WARNING if news else logging.DEBUG,
            "connection-test failed",
            connection=self._connection,
            url=url,
            url_hash=url.hash,
            error=failure.kind,
            detail=failure.text,
            tries=self._tries,
            next_try_seconds=round(wait, 3),
        )

    def _note(self, failure: RedisFailure) -> None:
        self.failure = failure
        self.last_error = LastError(failure.kind, failure.text, time.time())
        self.ping_seconds = None

    def _ping(self) -> float:
        seconds = self._client.ping()
        self.ping_seconds = seconds
        self._pings.observe(seconds)
        return seconds

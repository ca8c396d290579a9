"""HTTP/1.1 by uvicorn and h11, with an end to every wait.

uvicorn has a timeout between requests only: a client that sends half a request, or that never
reads its answer, would hold its connection for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from exporter.web.bad_requests import HUNG_UP

REQUEST_SECONDS: Final = 10.0
"""For a whole request, from the connection's or the last answer's end; for a TLS handshake too."""
ANSWER_SECONDS: Final = 60.0
"""For an answer, until the client has taken all of it."""
_SPARE_CONNECTIONS: Final = 100

_Phase = tuple[float, RequestResponseCycle | None]


class GuardedProtocol(H11Protocol):
    """One client's connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._phase: _Phase | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Those over `limit_concurrency` are told so; those far over it are hung up on."""
        super().connection_made(transport)
        if self.limit_concurrency is not None:
            most = self.limit_concurrency + _SPARE_CONNECTIONS
            if len(self.connections) > most:
                self.logger.warning(HUNG_UP)
                transport.abort()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """A part of a request."""
        super().data_received(data)
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Garbage; where it comes in the body of a request that is being answered, that is all."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()
        if self.cycle is not None:
            self.cycle.disconnected = True

    def on_response_complete(self) -> None:
        """An answer has been given to the transport, which may not have sent it."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._disarm()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Each phase has its time; more of the same bytes does not prolong it."""
        phase = self._now()
        if phase != self._phase:
            self._disarm()
            self._phase = phase
            self._timer = self.loop.call_later(phase[0], self._expire)

    def _now(self) -> _Phase:
        asked = self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
        if asked or self.transport.get_write_buffer_size():
            return ANSWER_SECONDS, self.cycle
        return REQUEST_SECONDS, self.cycle

    def _expire(self) -> None:
        if self._now() == self._phase:
            self.transport.abort()
        else:
            self._watch()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

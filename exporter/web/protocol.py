"""uvicorn's HTTP/1.1 protocol with a timeout for every phase of a connection, and other limits.

uvicorn has a timeout only between requests: a client that sends half a request or never reads its
response could hold its connection for ever. Its limit of connections is the same for all clients
and all paths.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from exporter.web.bad_requests import DISCONNECTED, OVERLOADED, TOO_LARGE
from exporter.web.limits import ALWAYS_SERVED, ConnectionLimits, peer_of

REQUEST_SECONDS: Final = 10.0
"""Time to receive a request, since the connection or the last response; also a TLS handshake's."""
RESPONSE_SECONDS: Final = 60.0
"""Time to respond, until the client has read the whole response."""
HEAD_BYTES: Final = 16_384
"""Maximum size of a request's line and headers."""
_TOO_LARGE_REASON: Final = b"Request Header Fields Too Large"
_TOO_LARGE_TEXT: Final = b"a request may have at most 16 kB\n"
_TOO_LARGE: Final = PlainTextResponse(_TOO_LARGE_TEXT, 431, {"connection": "close"})
_OVERLOADED: Final = PlainTextResponse("too many requests at once\n", 503, {"connection": "close"})

_Phase = tuple[float, RequestResponseCycle | None]


class GuardedProtocol(H11Protocol):
    """One client's connection."""

    def __init__(self, *arguments: Any, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.peer = ""
        self._limits = limits
        self._pages = self.app
        self.app = self._respond
        self._timer: asyncio.TimerHandle | None = None
        self._phase: _Phase | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer, and make room for the connection."""
        super().connection_made(transport)
        self.peer = peer_of(self.client[0]) if self.client is not None else ""
        self._watch()
        self._limits.opened(self)

    def data_received(self, data: bytes) -> None:
        """Handle a part of a request."""
        super().data_received(data)
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Respond to garbage, or to a head that does not end; disconnect if a response has already
        begun.
        """
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
        elif len(self.conn.trailing_data[0]) > HEAD_BYTES:
            self._send_431_response()
        else:
            super().send_400_response(msg)
        if self.cycle is not None:
            self.cycle.disconnected = True

    def on_response_complete(self) -> None:
        """Restart the timer; the transport may still have to send the response."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer of a closed connection."""
        self._disarm()
        self._limits.closed(self)
        super().connection_lost(exc)

    @property
    def waiting(self) -> bool:
        """Whether it waits for a request, or for the rest of one."""
        received = self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
        return not (received or self.transport.get_write_buffer_size())

    def disconnect(self) -> None:
        """Close it without a response; the log counts how often."""
        self.logger.warning(DISCONNECTED)
        self.transport.abort()

    def _send_431_response(self) -> None:
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        response = h11.Response(status_code=431, headers=headers, reason=_TOO_LARGE_REASON)
        for part in (response, h11.Data(data=_TOO_LARGE_TEXT), h11.EndOfMessage()):
            self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with a page, with 431 if the request is too large, or with 503 if too many are
        being answered.
        """
        if _head_bytes(scope) > HEAD_BYTES:
            self.logger.warning(TOO_LARGE)
            await _TOO_LARGE(scope, receive, send)
        elif scope["path"] not in ALWAYS_SERVED and self._limits.exceeded(self):
            self.logger.warning(OVERLOADED)
            await _OVERLOADED(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    def _watch(self) -> None:
        """Start a timer for each new phase; more bytes in the same phase do not extend it."""
        phase = self._current_phase()
        if phase != self._phase:
            self._disarm()
            self._phase = phase
            self._timer = self.loop.call_later(phase[0], self._expire)

    def _current_phase(self) -> _Phase:
        return REQUEST_SECONDS if self.waiting else RESPONSE_SECONDS, self.cycle

    def _expire(self) -> None:
        if self._current_phase() == self._phase:
            self.transport.abort()
        else:
            self._watch()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _head_bytes(scope: Scope) -> int:
    """Approximate size of a request's line and headers, which may arrive at once, with its end."""
    line = len(scope["raw_path"]) + len(scope["query_string"])
    return line + sum(len(name) + len(value) + 4 for name, value in scope["headers"])

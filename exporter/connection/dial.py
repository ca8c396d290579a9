"""Opening a socket to Redis: TCP, TLS or a Unix socket, AUTH and SELECT, by redis-py.

The only module that imports redis-py's client, which takes 0.1 s. The first connection imports
this module, so the start of the exporter does not wait for it.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any, Final

import redis
from redis._parsers import _HiredisParser

from exporter.config.models import Connection, RedisTLS
from exporter.config.regular_file import check_regular
from exporter.config.secret import MASK
from exporter.connection.errors import (
    ErrorClass,
    RedisFailure,
    ReplyError,
    failure_of,
    forget_frames,
)
from exporter.connection.reply_bound import ReplyBound

_MAX_DIAL_BYTES: Final = 1 << 16
"""Maximum size of all replies to AUTH and SELECT, or of a sentinel's."""

RedisConnection = redis.connection.AbstractConnection


class _UnixConnection(redis.UnixDomainSocketConnection):
    """redis-py's Unix socket connection with the `host` that its base class reads."""

    host = ""


class _TLSConnection(redis.SSLConnection):
    """redis-py's TLS connection with our TLS context, because its own cannot set a server name."""

    def __init__(self, tls: RedisTLS, **options: Any) -> None:
        self._tls = tls
        super().__init__(**options)

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
        name = self._tls.server_name or self.host
        return tls_context(self._tls).wrap_socket(sock, server_hostname=name)


class _BoundedSocket:
    """A socket whose bytes are checked before redis-py parses them."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._bound = ReplyBound(_MAX_DIAL_BYTES)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv_into(self, buffer: bytearray) -> int:
        received = self._sock.recv_into(buffer)
        self._bound.add(bytes(buffer[:received]))
        return received


class _BoundedParser(_HiredisParser):
    """redis-py's parser, with a bound for all replies until the connection is ours."""

    def on_connect(self, connection: Any, **options: Any) -> None:
        super().on_connect(connection, **options)  # type: ignore[no-untyped-call] # untyped there
        self._sock: Any = _BoundedSocket(self._sock)


def tls_context(tls: RedisTLS) -> ssl.SSLContext:
    """The TLS context of a rediss:// connection. Raises `OSError` if a file is unusable."""
    for file in (tls.ca_file, tls.cert_file, tls.key_file):
        if file is not None:
            check_regular(file)
    context = ssl.create_default_context(cafile=str(tls.ca_file) if tls.ca_file else None)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file and tls.key_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def dial(settings: Connection) -> RedisConnection:
    """An open, authenticated connection with the right database selected.

    Raises `RedisFailure`. redis-py's retries are off: its default of ten turns a timeout of 0.5 s
    into 9 s.
    """
    password = _password(settings)
    try:
        connection = _prepare(settings, password)
        connection.connect()
    except Exception as error:
        raise redis_py_failure(error, password) from None
    return connection


_CLASSES: Final = (
    (redis.AuthenticationError, ErrorClass.AUTH),
    (redis.exceptions.AuthenticationWrongNumberOfArgsError, ErrorClass.AUTH),
    (redis.exceptions.NoPermissionError, ErrorClass.PERMISSION),
    (redis.exceptions.AuthorizationError, ErrorClass.PERMISSION),
    (redis.BusyLoadingError, ErrorClass.LOADING),
    (redis.ReadOnlyError, ErrorClass.READONLY),
    (redis.TimeoutError, ErrorClass.TIMEOUT),
    (redis.ConnectionError, ErrorClass.CONNECTION),
    (redis.RedisError, ErrorClass.PROTOCOL),
)


def redis_py_failure(error: Exception, password: str | None = None) -> RedisFailure:
    """Convert an exception of redis-py, with the password masked.

    A server that does not know AUTH quotes its arguments in the error.
    """
    if not isinstance(error, redis.RedisError):
        return failure_of(error)
    forget_frames(error)
    text = str(error) or type(error).__name__
    if password:
        text = text.replace(password, MASK)
    if "SELECT is not allowed in cluster mode" in text:
        text = f"{text}: this cluster has only database 0; correct the URL"
    if isinstance(error, redis.ResponseError):
        reply = ReplyError(text if text.split(" ", 1)[0].isupper() else f"ERR {text}")
        if reply.kind is not ErrorClass.PROTOCOL:
            return RedisFailure(reply.kind, text)
    return RedisFailure(next(label for kind, label in _CLASSES if isinstance(error, kind)), text)


def _prepare(settings: Connection, password: str | None) -> RedisConnection:
    url = settings.url
    options: dict[str, Any] = {
        "db": url.db,
        "username": settings.user if password else None,
        "password": password,
        "socket_timeout": settings.timeout_seconds,
        "socket_connect_timeout": settings.connect_timeout_seconds,
        "retry": None,
        "retry_on_error": [],
        "protocol": 2,
        # CLIENT SETINFO is unknown before Redis 7.2 and not worth a line in an ACL
        "driver_info": None,
        "parser_class": _BoundedParser,
        "decode_responses": False,
        # redis-py reads only the replies to AUTH and SELECT, and its parser with a buffer of this
        # size stays until the cycle collector runs
        "socket_read_size": 1024,
    }
    if url.scheme == "unix":
        return _UnixConnection(path=url.path, **options)  # type: ignore[no-untyped-call] # untyped there
    options |= {"host": url.host, "port": url.port}
    if url.scheme == "rediss":
        return _TLSConnection(settings.tls, **options)
    return redis.Connection(**options)


def _password(settings: Connection) -> str | None:
    try:
        secret = settings.read_password()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        text = f"cannot read password_file {settings.password_file} ({reason})"
        raise RedisFailure(ErrorClass.AUTH, text) from None
    return secret.reveal() if secret is not None else None

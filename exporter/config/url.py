"""Redis URLs (redis://, rediss://, unix://), with the password as a `Secret`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from exporter.config.secret import MASK, Secret

SCHEMES = ("redis", "rediss", "unix")
DEFAULT_PORT = 6379
_DB_DIGITS = 9

# `family` is an option of Node's ioredis, common in the REDIS_URL of IPv6-only networks (Railway).
# The exporter tries both address families anyway.
IGNORED_OPTIONS = frozenset({"family"})


@dataclass(frozen=True, slots=True)
class RedisURL:
    """Where a connection leads. `host` and `port` are empty for unix://, `path` for the others."""

    scheme: str
    host: str
    port: int
    path: str
    db: int
    username: str | None
    password: Secret | None

    @property
    def address(self) -> str:
        """`host:port`, or the socket's path."""
        if self.scheme == "unix":
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def without_credentials(self) -> str:
        """The normalized URL, without user and password."""
        if self.scheme == "unix":
            return f"unix://{self.path}?db={self.db}"
        return f"{self.scheme}://{self.address}/{self.db}"

    @property
    def hash(self) -> str:
        """Twelve hex digits, equal for URLs that differ only in credentials."""
        return hashlib.sha256(self.without_credentials.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        """The URL with its password masked."""
        if self.username is None and self.password is None:
            return self.without_credentials
        password = f":{MASK}" if self.password is not None else ""
        scheme, rest = self.without_credentials.split("://", 1)
        return f"{scheme}://{self.username or ''}{password}@{rest}"


def parse_url(text: str) -> RedisURL:
    """Parse a Redis URL.

    Raises `ValueError` with what is wrong and how to fix it; the message never contains the URL's
    credentials.
    """
    scheme, separator, _ = text.partition("://")
    if not separator or scheme not in SCHEMES:
        raise ValueError("must begin with redis://, rediss:// or unix://")
    parts = _split(text)
    options = _options(parts)
    if scheme == "unix":
        if not parts.path or parts.path == "/":
            raise ValueError("needs a socket path, as in unix:///run/redis/redis.sock?db=0")
        host, port, path = "", 0, unquote(parts.path)
        db = _db(options.get("db", "0"))
    else:
        host, port, path = parts.hostname or "", _port(parts), ""
        if not host:
            raise ValueError(f"has no host; {_ENCODE_HINT}")
        db = _db(options.get("db") or parts.path.strip("/") or "0")
    return RedisURL(
        scheme, host, port, path, db, _unquoted(parts.username), _secret(parts.password)
    )


_ENCODE_HINT = (
    "special characters in the user name or password must be percent-encoded "
    "(/ as %2F, # as %23, ? as %3F, @ as %40)"
)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(f"is not a URL; {_ENCODE_HINT}") from None
    if parts.fragment or text.count("@") > 1:
        raise ValueError(f"contains a # or a second @; {_ENCODE_HINT}")
    if "@" in parts.query:
        raise ValueError(f"has an @ after the ?; {_ENCODE_HINT}")
    return parts


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - {"db"} - IGNORED_OPTIONS)
    if unknown:
        raise ValueError(
            f"has the unknown option {unknown[0]!r}; only ?db= is supported, set TLS under `tls`"
        )
    return options


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or DEFAULT_PORT
    except ValueError:
        raise ValueError(f"has a port that is not a number up to 65535; {_ENCODE_HINT}") from None


def _db(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DB_DIGITS):
        raise ValueError(
            "needs a database number after the host, as in redis://localhost:6379/0; "
            f"{_ENCODE_HINT}"
        )
    return int(text)


def _unquoted(text: str | None) -> str | None:
    return unquote(text) if text else None


def _secret(text: str | None) -> Secret | None:
    return Secret(unquote(text)) if text else None

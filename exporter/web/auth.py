"""Basic authentication with bcrypt hashes, as in Prometheus' web configuration."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from typing import Final

import bcrypt
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.config.secret import Secret
from exporter.threads import DaemonExecutor
from exporter.web.endpoints import OPEN_PATHS

# bcrypt uses only this much of a password; the library rejects longer ones since version 5
_BCRYPT_BYTES: Final = 72

Credentials = tuple[str, bytes]
"""A user's name and the password."""


class _UserSet:
    """The configured users and a cache of verified passwords; a reload replaces both together."""

    def __init__(self, hashes: Mapping[str, Secret]) -> None:
        self.hashes = {name: secret.reveal().encode() for name, secret in hashes.items()}
        costs = sorted(map(_cost, self.hashes.values()))
        self.costs = range(costs[0], costs[-1] + 1) if costs else range(0)
        self.salts = {cost: bcrypt.gensalt(cost) for cost in self.costs}
        self.verified: set[bytes] = set()

    def check(self, name: str, password: bytes) -> bool:
        """Whether this is the user's password.

        The time must not depend on the name, or it would show which users exist. Every check does
        the work of the highest cost m, 2^m: a hash of cost c is 2^c of it, and dummy hashes of the
        costs c to m - 1 are the rest.
        """
        hashed = self.hashes.get(name)
        if hashed is None:
            bcrypt.hashpw(password, self.salts[self.costs[-1]])
            return False
        matches = bcrypt.checkpw(password, hashed)
        for cost in range(_cost(hashed), self.costs[-1]):
            bcrypt.hashpw(password, self.salts[cost])
        return matches


class Users:
    """The users with access to the pages. Without users, access is open."""

    def __init__(self, hashes: Mapping[str, Secret]) -> None:
        self._key = secrets.token_bytes(32)
        # a single thread, so that a flood of wrong passwords costs at most one core
        self._pool = DaemonExecutor(1, "auth")
        self._users = _UserSet(hashes)

    def replace(self, hashes: Mapping[str, Secret]) -> None:
        """Accept these users and no others from now on."""
        self._users = _UserSet(hashes)

    @property
    def open(self) -> bool:
        """Whether access needs no authentication."""
        return not self._users.hashes

    async def authenticate(self, authorization: str) -> bool:
        """Whether an Authorization header holds the name and password of a user."""
        credentials = parse_basic(authorization)
        if credentials is None:
            return False
        name, password = credentials[0], credentials[1][:_BCRYPT_BYTES]
        users, digest = self._users, self._digest(name, password)
        if digest in users.verified:
            return True
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(self._pool, users.check, name, password):
            return False
        users.verified.add(digest)
        return True

    def _digest(self, name: str, password: bytes) -> bytes:
        """What the cache keeps of a verified password: a hash with a key of this process."""
        text = name.encode() + b":" + password
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()


def _cost(hashed: bytes) -> int:
    """The cost of a bcrypt hash: the two digits after the version, as in `$2y$10$`."""
    return int(hashed[4:6])


def parse_basic(authorization: str) -> Credentials | None:
    """The credentials in an Authorization header; None if it is not valid Basic authentication."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
        name, colon, password = decoded.partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


class BasicAuth:
    """ASGI middleware that responds 401 to requests without valid credentials."""

    def __init__(self, app: ASGIApp, users: Users) -> None:
        self._app = app
        self._users = users

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See https://asgi.readthedocs.io/en/latest/specs/www.html."""
        if await self._is_authorized(scope):
            await self._app(scope, receive, send)
            return
        challenge = {"www-authenticate": 'Basic realm="bullmq-exporter", charset="UTF-8"'}
        response = PlainTextResponse("user name and password required\n", 401, challenge)
        await response(scope, receive, send)

    async def _is_authorized(self, scope: Scope) -> bool:
        if self._users.open or scope["path"] in OPEN_PATHS:
            return True
        return await self._users.authenticate(Headers(scope=scope).get("authorization", ""))

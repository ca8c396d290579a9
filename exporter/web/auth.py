"""Basic authentication against bcrypt hashes, as Prometheus' own web configuration has it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import bcrypt
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.config.secret import Secret
from exporter.web.endpoints import OPEN_PATHS

# bcrypt reads no more of a password; its library refuses longer ones since version 5
_BCRYPT_BYTES: Final = 72

Credentials = tuple[str, bytes]
"""A user's name and the password."""


class _Known:
    """One state of the users, replaced whole: what was right for former users is forgotten."""

    def __init__(self, hashes: Mapping[str, Secret]) -> None:
        self.hashes = {name: secret.reveal().encode() for name, secret in hashes.items()}
        self.costliest = max(self.hashes.values(), key=_cost, default=b"")
        self.passed: set[bytes] = set()


class Users:
    """Who may look. Without any users, everybody may."""

    def __init__(self, hashes: Mapping[str, Secret]) -> None:
        self._key = secrets.token_bytes(32)
        # one at a time: a flood of wrong passwords costs one core at the most
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="auth")
        self._known = _Known(hashes)

    def replace(self, hashes: Mapping[str, Secret]) -> None:
        """Let in these users, and no others, from now on."""
        self._known = _Known(hashes)

    @property
    def open(self) -> bool:
        """Whether everybody may look."""
        return not self._known.hashes

    async def let_in(self, authorization: str) -> bool:
        """Whether an Authorization header names a user and the right password."""
        credentials = parse_basic(authorization)
        if credentials is None:
            return False
        name, password = credentials[0], credentials[1][:_BCRYPT_BYTES]
        known, digest = self._known, self._digest(name, password)
        if digest in known.passed:
            return True
        hashed = known.hashes.get(name)
        # an unknown user must take as long as a known one with a wrong password
        against = known.costliest if hashed is None else hashed
        loop = asyncio.get_running_loop()
        matches = await loop.run_in_executor(self._pool, bcrypt.checkpw, password, against)
        if not matches or hashed is None:
            return False
        known.passed.add(digest)
        return True

    def _digest(self, name: str, password: bytes) -> bytes:
        """What is remembered of a password that was right: useless outside this process."""
        text = name.encode() + b":" + password
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()


def _cost(hashed: bytes) -> bytes:
    """The two digits after the version, as in `$2y$10$`."""
    return hashed[4:6]


def parse_basic(authorization: str) -> Credentials | None:
    """The credentials in an Authorization header, or None where it has none of this scheme."""
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
    """The application for those who are let in; 401 for the others."""

    def __init__(self, app: ASGIApp, users: Users) -> None:
        self._app = app
        self._users = users

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See https://asgi.readthedocs.io/en/latest/specs/www.html."""
        if await self._may_look(scope):
            await self._app(scope, receive, send)
            return
        challenge = {"www-authenticate": 'Basic realm="bullmq-exporter", charset="UTF-8"'}
        answer = PlainTextResponse("a user name and a password are needed\n", 401, challenge)
        await answer(scope, receive, send)

    async def _may_look(self, scope: Scope) -> bool:
        if self._users.open or scope["path"] in OPEN_PATHS:
            return True
        return await self._users.let_in(Headers(scope=scope).get("authorization", ""))

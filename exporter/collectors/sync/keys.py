"""The sync test's own keys and what is written to them."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

TTL_SECONDS: Final = 50
"""How long anything can stay in Redis, whatever happens to the exporter."""

SHORT_TTL_SECONDS: Final = 0.25
"""For the key that must be gone when it should be."""

_PAYLOAD_BYTES: Final = 64 * 1024
_EVERY_BYTE: Final = bytes(range(256))
_UNICODE: Final = "žluťoučký kůň · 井戸 · 🐂 · \u202eRTL\u202c · e\u0301".encode()


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one writer in one round, and their values."""

    value_key: bytes
    payload_key: bytes
    short_key: bytes
    value: bytes
    payload: bytes

    @property
    def all(self) -> tuple[bytes, bytes, bytes]:
        """Every key that the writer makes."""
        return (self.value_key, self.payload_key, self.short_key)

    @property
    def digest(self) -> bytes:
        """Of the payload."""
        return hashlib.sha256(self.payload).digest()


def new_keys(prefix: str) -> Keys:
    """Keys that no other round, and no other exporter, has."""
    token = secrets.token_hex(16)
    # one hash tag, so that in a cluster they are in one slot
    base = f"{prefix}:{{{token}}}:".encode()
    filler = _EVERY_BYTE + _UNICODE + token.encode()
    payload = (filler * (_PAYLOAD_BYTES // len(filler) + 1))[:_PAYLOAD_BYTES]
    return Keys(base + b"value", base + b"payload", base + b"short", token.encode(), payload)

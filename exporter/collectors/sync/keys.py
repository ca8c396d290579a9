"""The keys that the sync test writes, and their values."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

TTL_SECONDS: Final = 50
"""TTL of the keys: how long they remain in Redis if the exporter cannot delete them."""

SHORT_TTL_SECONDS: Final = 0.25
"""TTL of the key whose expiry is tested."""

_PAYLOAD_BYTES: Final = 64 * 1024
_EVERY_BYTE: Final = bytes(range(256))
_UNICODE: Final = "žluťoučký kůň · 井戸 · 🐂 · \u202eRTL\u202c · e\u0301".encode()


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one writer in one round, with their values."""

    value_key: bytes
    payload_key: bytes
    short_key: bytes
    value: bytes
    payload: bytes

    @property
    def all(self) -> tuple[bytes, bytes, bytes]:
        """All keys that the writer writes."""
        return (self.value_key, self.payload_key, self.short_key)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the payload."""
        return hashlib.sha256(self.payload).digest()


def new_keys(prefix: str) -> Keys:
    """Keys that no other round and no other exporter uses."""
    token = secrets.token_hex(16)
    # the hash tag puts all keys in one slot of a cluster
    base = f"{prefix}:{{{token}}}:".encode()
    filler = _EVERY_BYTE + _UNICODE + token.encode()
    payload = (filler * (_PAYLOAD_BYTES // len(filler) + 1))[:_PAYLOAD_BYTES]
    return Keys(base + b"value", base + b"payload", base + b"short", token.encode(), payload)

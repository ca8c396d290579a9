"""Shards: which part of the queues this process watches."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass

_NUMBER = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})", re.ASCII)
_ORDINAL = re.compile(r"[^/]+-(0|[1-9]\d{0,3})/([1-9]\d{0,3})", re.ASCII)

_SCORES_PER_DIGEST = 8


@dataclass(frozen=True, slots=True)
class Shard:
    """The `part`-th of `parts` shards, counted from 1."""

    part: int
    parts: int

    def owns(self, prefix: str, name: str) -> bool:
        """Whether this shard watches the queue with that prefix and name, as shown."""
        return part_of(f"{prefix}\0{name}".encode(), self.parts) == self.part

    def __str__(self) -> str:
        return f"{self.part}/{self.parts}"


def parse_shard(text: str) -> Shard:
    """Parse `2/5`, or `exporter-1/5` with the ordinal (from 0) of a StatefulSet's pod.

    Raises `ValueError` with the accepted forms.
    """
    if match := _NUMBER.fullmatch(text):
        shard = Shard(int(match[1]), int(match[2]))
    elif match := _ORDINAL.fullmatch(text):
        shard = Shard(int(match[1]) + 1, int(match[2]))
    else:
        shard = None
    if shard is None or shard.part > shard.parts:
        raise ValueError(
            'must be "i/n" with 1 <= i <= n, as in "2/5", or "name-ordinal/n" with a StatefulSet '
            'pod\'s ordinal below n, as in "${POD_NAME}/5"'
        )
    return shard


def part_of(key: bytes, parts: int) -> int:
    """The part, from 1, that a key belongs to: the one with the highest score (rendezvous hashing).

    A part's score does not depend on the number of parts, so adding the n-th part moves only the
    keys that it wins, one in n. The scores are the 64-bit words of consecutive BLAKE2b digests, the
    same on every machine and in every version of Python.
    """
    blocks = range(-(-parts // _SCORES_PER_DIGEST))
    digests = b"".join(hashlib.blake2b(key, salt=b"%d" % block).digest() for block in blocks)
    scores = struct.unpack_from(f"<{parts}Q", digests)
    return scores.index(max(scores)) + 1

"""Bounds what a server may send in reply, before it is parsed.

hiredis has no limit for the size of a reply, and allocates a list as soon as its header announces
it: 13 bytes that announce a billion elements would hold the interpreter for seconds.
"""

from __future__ import annotations

import re
from typing import Final

from exporter.connection.errors import ErrorClass, RedisFailure

MAX_BATCH_BYTES: Final = 64 << 20
"""Maximum size of all replies to one batch, whatever its commands."""
_MIN_ELEMENT_BYTES: Final = 3
"""Size of the shortest element of a list: an empty simple string."""
_LARGE_LIST: Final = re.compile(rb"\n[*%~>|]\d{4}")
"""The header of a list, map, set, push or attribute of a thousand elements or more."""
_HEADER_BYTES: Final = 6
_LIST_KINDS: Final = tuple(bytes([kind]) for kind in b"*%~>|")
_LISTS: Final = frozenset(b"*~>")
_MAPS: Final = frozenset(b"%|")
_STRINGS: Final = frozenset(b"$=!")


class OversizedReplyError(RedisFailure):
    """A reply is larger than any that its commands may have; the connection is unusable."""

    def __init__(self, text: str) -> None:
        super().__init__(ErrorClass.PROTOCOL, text)


class ReplyBound:
    """Checks the bytes of the replies to a batch, in the order in which they arrive.

    A search in C finds headers of large lists. Since a value may contain the same characters, the
    protocol is then followed from the start of the batch, which is why its bytes are kept. Until
    then, a check costs a copy of the bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = min(limit, MAX_BATCH_BYTES)
        self.size = 0
        """Number of bytes received."""
        self._received: list[bytes] = []
        self._end = b"\n"  # so that the first header is found, too
        self._walk: _Walk | None = None

    def add(self, data: bytes) -> None:
        """Check further bytes. Raises `OversizedReplyError`."""
        self.size += len(data)
        if self.size > self._limit:
            raise OversizedReplyError(f"received more than the {self._limit} bytes of a reply")
        if self._walk is not None:
            self._walk.add(data)
            return
        self._received.append(data)
        seen = self._end + data
        self._end = seen[-_HEADER_BYTES:]
        # most replies are numbers without any list, which is cheaper to find out
        if any(kind in seen for kind in _LIST_KINDS) and _LARGE_LIST.search(seen) is not None:
            self._walk = _Walk(self._limit // _MIN_ELEMENT_BYTES)
            for part in self._received:
                self._walk.add(part)
            self._received.clear()


class _Walk:
    """Follows the protocol, and sums up the elements that lists announce."""

    def __init__(self, elements: int) -> None:
        self._left = elements
        self._buffer = bytearray()
        self._searched = 0
        """Number of bytes of the buffer that do not contain the end of a line."""
        self._skip = 0
        """Number of bytes left of a string."""

    def add(self, data: bytes) -> None:
        buffer, start = self._buffer, 0
        buffer += data
        while True:
            skipped = min(self._skip, len(buffer) - start)
            self._skip -= skipped
            start += skipped
            end = buffer.find(b"\r\n", max(start, self._searched - 1))
            if self._skip or end < 0:
                break
            self._header(buffer[start], bytes(buffer[start + 1 : end]))
            start, self._searched = end + 2, 0
        del buffer[:start]
        self._searched = len(buffer)

    def _header(self, kind: int, rest: bytes) -> None:
        if kind in _STRINGS:
            length = _count(rest)
            self._skip = length + 2 if length >= 0 else 0
        elif kind in _LISTS or kind in _MAPS:
            self._left -= max(0, _count(rest)) * (2 if kind in _MAPS else 1)
            if self._left < 0:
                raise OversizedReplyError("a reply announces more elements than its size allows")


def _count(digits: bytes) -> int:
    try:
        return int(digits[:20])
    except ValueError:
        raise OversizedReplyError("a reply announces no number of elements") from None

"""gzip out of pieces that were compressed one by one and are kept, by isal where it is installed.

A piece is deflated by itself and ends on a byte, so pieces joined are one stream; the CRC of the
whole is made from those of the pieces. A page of which little has changed costs little to compress,
and its text need not be kept.
"""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Final

# `isal` is in the extra `fast`; both modules have the same functions
_library: Any = importlib.import_module("isal.isal_zlib") if find_spec("isal") else zlib
_LEVEL: Final = 1  # a page that lives for seconds is not worth more
_RAW: Final = -zlib.MAX_WBITS
# RFC 1952: magic, deflate, no flags, no time, unknown system
_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK: Final = b"\x03\x00"
"""An empty one, which ends the stream."""
_POLYNOMIAL: Final = 0xEDB88320
_ONE: Final = 1 << 31
"""The polynomial 1 as CRC-32 has it, the highest power in the lowest bit."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a page, compressed."""

    deflated: bytes
    crc: int
    size: int
    """Of the text, in bytes."""

    @property
    def text(self) -> bytes:
        """What was compressed."""
        text: bytes = _library.decompressobj(_RAW).decompress(self.deflated)
        return text


def deflate(text: bytes) -> Chunk:
    """The text, compressed by itself."""
    compressor = _library.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
    deflated = compressor.compress(text) + compressor.flush(_library.Z_FULL_FLUSH)
    return Chunk(deflated, _library.crc32(text), len(text))


def join_gzip(parts: Iterable[bytes | Chunk]) -> bytes:
    """All parts as one gzip member."""
    crc = size = 0
    compressed = [_HEADER]
    combine = getattr(_library, "crc32_combine", combined_crc)
    for piece in _pieces(parts):
        compressed.append(piece.deflated)
        crc = combine(crc, piece.crc, piece.size)
        size += piece.size
    return b"".join([*compressed, _LAST_BLOCK, struct.pack("<II", crc, size & 0xFFFFFFFF)])


def _pieces(parts: Iterable[bytes | Chunk]) -> Iterator[Chunk]:
    """Texts that stand together become one piece."""
    texts: list[bytes] = []
    for part in parts:
        if isinstance(part, bytes):
            texts.append(part)
            continue
        if texts:
            yield deflate(b"".join(texts))
            texts = []
        yield part
    if texts:
        yield deflate(b"".join(texts))


def combined_crc(first: int, second: int, size: int) -> int:
    """The CRC-32 of two texts in a row from theirs; `size` is the second one's.

    As zlib's crc32_combine, which Python does not offer and isal does.
    """
    return _product(_power(size), first) ^ second


@lru_cache(maxsize=1024)
def _power(size: int) -> int:
    """x to the power of so many bytes, modulo the polynomial: what appending them does to a CRC."""
    result, power = _ONE, _ONE >> 8
    while size:
        if size & 1:
            result = _product(result, power)
        power = _product(power, power)
        size >>= 1
    return result


def _product(a: int, b: int) -> int:
    product, bit = 0, _ONE
    while bit:
        if a & bit:
            product ^= b
        b = (b >> 1) ^ (_POLYNOMIAL if b & 1 else 0)
        bit >>= 1
    return product

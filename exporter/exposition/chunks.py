"""gzip from chunks that are compressed separately and cached; uses isal if it is installed.

Each chunk is deflated on its own and ends on a byte boundary, so joined chunks form one stream. The
CRC of the stream is combined from the CRCs of the chunks. A page with few changes is cheap to
compress, and its text need not be kept in memory.
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
_LEVEL: Final = 1  # a page is used for seconds; more compression does not pay
_RAW: Final = -zlib.MAX_WBITS
# RFC 1952: magic, deflate, no flags, no time, unknown system
_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK: Final = b"\x03\x00"
"""An empty final block, which ends the stream."""
_POLYNOMIAL: Final = 0xEDB88320
_ONE: Final = 1 << 31
"""The polynomial 1 in CRC-32's bit order: the highest power is the lowest bit."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a page, compressed."""

    deflated: bytes
    crc: int
    size: int
    """Size of the uncompressed text in bytes."""

    @property
    def text(self) -> bytes:
        """The uncompressed text."""
        text: bytes = _library.decompressobj(_RAW).decompress(self.deflated)
        return text


def deflate(text: bytes) -> Chunk:
    """Compress the text so that it can be joined with other chunks."""
    compressor = _library.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
    deflated = compressor.compress(text) + compressor.flush(_library.Z_FULL_FLUSH)
    return Chunk(deflated, _library.crc32(text), len(text))


def join_gzip(parts: Iterable[bytes | Chunk]) -> bytes:
    """Join all parts to one gzip member."""
    crc = size = 0
    compressed = [_HEADER]
    combine = getattr(_library, "crc32_combine", combined_crc)
    for chunk in _chunks(parts):
        compressed.append(chunk.deflated)
        crc = combine(crc, chunk.crc, chunk.size)
        size += chunk.size
    return b"".join([*compressed, _LAST_BLOCK, struct.pack("<II", crc, size & 0xFFFFFFFF)])


def _chunks(parts: Iterable[bytes | Chunk]) -> Iterator[Chunk]:
    """All parts as chunks; adjacent uncompressed parts become one chunk."""
    plain: list[bytes] = []
    for part in parts:
        if isinstance(part, bytes):
            plain.append(part)
            continue
        if plain:
            yield deflate(b"".join(plain))
            plain = []
        yield part
    if plain:
        yield deflate(b"".join(plain))


def combined_crc(first: int, second: int, size: int) -> int:
    """The CRC-32 of two concatenated texts from their CRCs; `size` is the second text's, in bytes.

    Does what zlib's crc32_combine does, which isal exposes and Python's zlib module does not.
    """
    return _product(_power(size), first) ^ second


@lru_cache(maxsize=1024)
def _power(size: int) -> int:
    """x**(8 * `size`) modulo the polynomial: what appending `size` bytes does to a CRC."""
    result, power = _ONE, _ONE >> 8
    while size:
        if size & 1:
            result = _product(result, power)
        power = _product(power, power)
        size >>= 1
    return result


def _product(a: int, b: int) -> int:
    """The product of two polynomials, modulo the CRC's polynomial."""
    product, bit = 0, _ONE
    while bit:
        if a & bit:
            product ^= b
        b = (b >> 1) ^ (_POLYNOMIAL if b & 1 else 0)
        bit >>= 1
    return product

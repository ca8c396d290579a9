"""gzip, by isal where it is installed."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any, Final

# `isal` is in the extra `fast`; both modules have the same functions
_library: Any = importlib.import_module("isal.isal_zlib") if find_spec("isal") else zlib
_GZIP: Final = 16 + zlib.MAX_WBITS


def compress(parts: Iterable[bytes]) -> bytes:
    """All parts as one gzip member. Level 1: a page that lives for seconds is not worth more."""
    compressor = _library.compressobj(1, zlib.DEFLATED, _GZIP)
    return b"".join([*map(compressor.compress, parts), compressor.flush()])

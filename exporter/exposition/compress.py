"""gzip, by isal where it is installed."""

from __future__ import annotations

import gzip
import importlib
from importlib.util import find_spec
from typing import Any

# `isal` is in the extra `fast`; both modules have the same functions
_library: Any = importlib.import_module("isal.igzip") if find_spec("isal") else gzip


def compress(body: bytes) -> bytes:
    """The body as one gzip member. Level 1: a page that lives for seconds is not worth more."""
    compressed: bytes = _library.compress(body, 1)
    return compressed

"""Names of queues that people confuse."""

from __future__ import annotations

import re
from typing import Final

_SEPARATORS: Final = re.compile(r"[\s\-_.{}]+")


def alike(name: str) -> str:
    """What names have in common that differ only in case, blanks, `-`, `_`, `.` or braces."""
    return _SEPARATORS.sub("", name.casefold())

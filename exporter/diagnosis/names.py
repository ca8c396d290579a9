"""Names of queues that people confuse."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_SEPARATORS: Final = re.compile(r"[\s\-_.{}]+")


def alike(name: str) -> str:
    """What names have in common that differ only in case, blanks, `-`, `_`, `.` or braces.

    Or in what cannot be seen: an accent as a character of its own, a zero-width space.
    """
    if name.isascii():
        return _SEPARATORS.sub("", name.casefold())
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    seen = "".join(char for char in plain if unicodedata.category(char) != "Cf")
    return _SEPARATORS.sub("", seen)

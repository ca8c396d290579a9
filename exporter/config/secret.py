"""A string that cannot be printed by accident."""

from __future__ import annotations

from typing import Final

MASK: Final = "***"


class Secret:
    """A secret text: `str`, `repr` and formatting give `***`; only `reveal` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself, for the one place that sends it."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

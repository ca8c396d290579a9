"""The parameters of a query string, as far as all queries about queues check them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_MAX_CHARACTERS: Final = 2000


class QueryError(ValueError):
    """The query string is invalid; the message names the parameter and what it may be."""


def check_parameters(parameters: Mapping[str, str], known: Sequence[str]) -> None:
    """Raise `QueryError` if a parameter is not one of these, or too long."""
    if unknown := sorted(parameters.keys() - set(known)):
        raise QueryError(f"{unknown[0]}: unknown parameter; there are {', '.join(known)}")
    if any(len(value) > _MAX_CHARACTERS for value in parameters.values()):
        raise QueryError(f"a parameter is longer than {_MAX_CHARACTERS} characters")

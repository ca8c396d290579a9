"""Configuration errors, each with its place and remedy, all reported together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from exporter.config.secret import MASK

_CREDENTIALS: Final = re.compile(r"://.*@", re.DOTALL)
_HASH: Final = re.compile(r"\$2[abxy]?\$.*", re.DOTALL)
# where a key should be: the rest of a hash after a line break; no key is this long
_REST_OF_HASH: Final = re.compile(r"[A-Za-z0-9/]{31,}")


SettingProblem = tuple[tuple[str, ...], str]
"""The path of a setting, and what is wrong with it."""


def masked(text: str) -> str:
    """The text with URL credentials and bcrypt hashes masked: they may be in a wrong place."""
    return _HASH.sub(MASK, _CREDENTIALS.sub(f"://{MASK}@", text))


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One error: its path (`queues.max`), what is wrong and how to fix it."""

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}, " if self.line is not None else ""
        path = _REST_OF_HASH.sub(MASK, masked(self.path))
        text = f"{where}{path}: {self.message}" if path else f"{where}{self.message}"
        return text.encode("utf-8", "backslashreplace").decode()


class ConfigError(Exception):
    """An unusable configuration; `problems` holds every error found."""

    def __init__(self, source: str, problems: list[ConfigProblem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(source, self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        head = f"{count} {'error' if count == 1 else 'errors'} in {self.source}"
        return "\n".join([head, *(f"  {problem}" for problem in self.problems)])

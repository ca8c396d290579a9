"""The groups of the sync test: whether they name each connection at most once, and no other."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from exporter.config.errors import SettingProblem
from exporter.config.models import Config


def group_problems(config: Config) -> Iterator[SettingProblem]:
    """Every name in `sync.groups` that is not a connection, or is listed twice."""
    seen = set()
    for number, group in enumerate(config.sync.groups):
        for place, name in enumerate(group):
            path = ("sync", "groups", str(number), str(place))
            if name not in config.connections:
                yield path, _unknown(name, config)
            elif name in seen:
                yield path, f"{name} is listed twice; a connection belongs to one group"
            seen.add(name)


def _unknown(name: str, config: Config) -> str:
    close = difflib.get_close_matches(name, config.connections, n=1)
    known = f"did you mean {close[0]}?" if close else f"known: {', '.join(config.connections)}"
    return f"no connection is named {name!r}; {known}"

"""Environment variables that stand for settings: `BULLMQ_QUEUES_INCLUDE` for `queues.include`.

The names follow from the models: `BULLMQ_`, then the setting's path in capitals with `_` between
its parts; `BULLMQ_REDIS_` is a setting of every connection. Mappings and lists of lists or of
mappings have none.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from exporter.config.environment import Interpolated
from exporter.config.errors import ConfigProblem
from exporter.config.models import Config, Connection
from exporter.config.yaml_reader import Path, read_scalar

PREFIX: Final = "BULLMQ_"
CONNECTION_PREFIX: Final = "BULLMQ_REDIS_"
_OTHER_NAMES: Final[Mapping[Path, str]] = {("queues", "prefixes"): "BULLMQ_PREFIX"}
"""Shorter names, which are used instead."""
_OWN: Final = "BULLMQ_EXPORTER_"
"""Not settings: the path of the file, completion, and what Kubernetes sets for a Service."""
_ALIKE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable and its setting."""

    name: str
    path: Path
    """Of a connection's settings, the path within the connection."""
    entries: type | None = None
    """The type of the entries if the value is a list, with commas between them; else None."""

    def value(self, text: str) -> Any:
        """The setting's value; a text that is none of its type is left to validation."""
        if self.entries is None:
            return Interpolated(text)
        parts = [part for each in text.split(",") if (part := each.strip())]
        return [read_scalar(part) for part in parts] if self.entries in (int, float) else parts


@cache
def setting_variables() -> Mapping[str, Variable]:
    """The variables of all settings outside connections, by name."""
    found = _variables(Config, PREFIX, ())
    return {each.name: each for each in found if each.path[0] != "connections"}


@cache
def connection_variables() -> Mapping[str, Variable]:
    """The variables of the settings of connections, by name."""
    found = _variables(Connection, CONNECTION_PREFIX, ())
    return {each.name: each for each in found if each.path != ("url",)}


def _variables(model: type[BaseModel], prefix: str, path: Path) -> Iterator[Variable]:
    for key, field in model.model_fields.items():
        here, kind = (*path, key), _without_none(field.annotation)
        name = _OTHER_NAMES.get(here, f"{prefix}{key.upper()}")
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _variables(kind, f"{name}_", here)
        elif get_origin(kind) is tuple:
            entries = _without_none(get_args(kind)[0])
            if isinstance(entries, type) and not issubclass(entries, BaseModel):
                yield Variable(name, here, entries)
        elif get_origin(kind) is not dict:
            yield Variable(name, here)


def _without_none(annotation: Any) -> Any:
    """The type without `Annotated` and without the alternative None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _without_none(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        others = [each for each in get_args(annotation) if each is not type(None)]
        return _without_none(others[0]) if len(others) == 1 else annotation
    return annotation


def apply_variables(
    data: dict[str, Any], environ: Mapping[str, str], problems: list[ConfigProblem]
) -> dict[Path, str]:
    """Replace settings by those of the environment; returns the variable of each path set.

    An empty variable counts as unset. A name that is nearly that of a setting is a problem.
    """
    settings, connections = setting_variables(), connection_variables()
    names = data["connections"] if isinstance(data.get("connections"), dict) else {}
    origins: dict[Path, str] = {}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name.startswith(_OWN) or not text:
            continue
        if (variable := settings.get(name)) is not None:
            paths = [variable.path]
        elif (variable := connections.get(name)) is not None:
            paths = [("connections", each, *variable.path) for each in names]
        else:
            known = [*settings, *connections]
            if close := difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE):
                problems.append(ConfigProblem(name, f"unknown; did you mean {close[0]}?"))
            continue
        for path in paths:
            if _set(data, path, variable.value(text)):
                origins[path] = name
    return origins


def _set(data: dict[str, Any], path: Path, value: Any) -> bool:
    """Set a nested value; not if a part of its path is no mapping, which is reported as that."""
    inner = data
    for key in path[:-1]:
        if inner.get(key) is None:
            inner[key] = {}
        inner = inner[key]
        if not isinstance(inner, dict):
            return False
    inner[path[-1]] = value
    return True

"""Environment variables in the configuration: `${NAME}`, REDIS_URL and REDIS_URL_<NAME>."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from exporter.config.errors import ConfigProblem, masked
from exporter.config.yaml_reader import Document, Path

_REFERENCE = re.compile(r"\$\$(?=\{)|\$\{([^}]*)\}")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_REDIS_URL = "REDIS_URL"


class Interpolated(str):
    """A string that came from the environment and may stand for a number or a boolean."""

    __slots__ = ()


def interpolate(document: Document, environ: Mapping[str, str]) -> Any:
    """The document's data with every `${NAME}` and `${NAME:-fallback}` expanded.

    An empty variable takes the fallback, as in a shell; `$${` is a literal `${`. Errors are added
    to the document's problems.
    """
    return _Interpolation(document, environ).value(document.data, ())


class _Interpolation:
    """Expands the variables in all values of a document."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ

    def value(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: self.value(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*path, str(index))) for index, item in enumerate(value)]
        return self._expand(value, path) if isinstance(value, str) else value

    def _expand(self, text: str, path: Path) -> str:
        result = _REFERENCE.sub(lambda match: self._resolve(match.group(1), path), text)
        return text if result == text else Interpolated(result)

    def _resolve(self, inside: str | None, path: Path) -> str:
        if inside is None:
            return "$"
        parsed = _NAME.fullmatch(inside)
        if parsed is None:
            self._problem(path, f"${{{masked(inside)}}} is not a variable name; write ${{NAME}}")
            return ""
        name, fallback = parsed.groups()
        if name not in self._environ and fallback is None:
            self._problem(path, f"{name} is not set; set it, or write ${{{name}:-fallback}}")
        return self._environ.get(name, "") or fallback or ""

    def _problem(self, path: Path, message: str) -> None:
        line = self._document.line_of(path)
        self._document.problems.append(ConfigProblem(".".join(path), message, line))


def connections_from(environ: Mapping[str, str]) -> dict[str, str]:
    """URLs by connection name: `default` from REDIS_URL, `<name>` from REDIS_URL_<NAME>."""
    urls = {}
    for variable in sorted(environ):
        value = environ[variable]
        if value and variable == _REDIS_URL:
            urls["default"] = value
        elif value and variable.startswith(_REDIS_URL + "_"):
            urls[variable.removeprefix(_REDIS_URL + "_").lower()] = value
    return urls

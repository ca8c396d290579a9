"""YAML without PyYAML's surprises.

PyYAML follows YAML 1.1: `12:30` is 750, `on` is true, and the last of repeated keys silently wins.
Here scalars follow YAML 1.2's core schema, and a repeated key is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from exporter.config.errors import ConfigError, ConfigProblem, masked

Path = tuple[str, ...]


class _CoreSchemaLoader(yaml.SafeLoader):
    """Resolves only the null, bool, int and float of YAML 1.2's core schema."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - how PyYAML replaces them

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, if the document does not have too many: each takes 0.1 ms."""
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise _TooManyValuesError(self.line + 1)
        return super().compose_node(parent, index)


class _TooManyValuesError(Exception):
    """The document has more than `_MAX_NODES` keys and values."""

    def __init__(self, line: int) -> None:
        self.line = line
        super().__init__(line)


_TAG = "tag:yaml.org,2002:"
_MAX_DIGITS = 1000
_MAX_NODES = 25_000
_MAX_VALUES = 100_000
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _CoreSchemaLoader.add_implicit_resolver(_TAG + _tag, re.compile(f"^(?:{_pattern})$"), _first)
_CoreSchemaLoader.add_constructor(_TAG + "int", lambda _, node: _integer(node.value))
_CoreSchemaLoader.add_constructor(_TAG + "float", lambda _, node: float(node.value))


@dataclass(slots=True)
class Document:
    """A YAML document as plain values, with the line of every key and item and the errors found."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[ConfigProblem] = field(default_factory=list)

    def line_of(self, path: Path) -> int | None:
        """The line of the key or item, or of the nearest one above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def read_yaml(text: str, source: str) -> Document:
    """Read one document. Raises `ConfigError` if the text is not valid YAML."""
    document = Document()
    try:
        node = _CoreSchemaLoader(text).get_single_node()
        if node is not None:
            document.data = _Builder(document).value(node, ())
    except yaml.YAMLError as error:
        raise ConfigError(source, [_syntax_problem(error)]) from None
    except _TooManyValuesError as error:
        what = f"has more than {_MAX_NODES} keys and values; shorten it"
        raise ConfigError(source, [ConfigProblem("", what, error.line)]) from None
    except RecursionError:
        raise ConfigError(source, [ConfigProblem("", "is nested too deeply")]) from None
    except (ValueError, OverflowError):
        what = "not valid YAML: invalid character escape"
        raise ConfigError(source, [ConfigProblem("", what)]) from None
    return document


def read_scalar(text: str) -> Any:
    """The value of `text` as a plain YAML scalar: 5, 0.5, true, null or the string itself."""
    loader = _CoreSchemaLoader("")
    return loader.construct_object(yaml.ScalarNode(_plain_tag(loader, text), text))


def _plain_tag(loader: yaml.SafeLoader, text: str) -> str:
    """The tag that the text resolves to if none is written."""
    tag: str = loader.resolve(yaml.ScalarNode, text, (True, False))
    return tag


def _integer(text: str) -> int:
    # Python's own limit is 4300 digits
    if len(text) > _MAX_DIGITS:
        raise ValueError("has too many digits")
    return int(text)


def _syntax_problem(error: yaml.YAMLError) -> ConfigProblem:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or "unreadable"
    return ConfigProblem("", f"not valid YAML: {masked(what)}", mark.line + 1 if mark else None)


class _Builder:
    """Turns nodes into values: only the nodes know lines and repeated keys."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: set[int] = set()
        self._values = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._values += 1
        if self._values > _MAX_VALUES:  # nested aliases grow exponentially
            raise yaml.MarkedYAMLError(problem="too large after expanding aliases")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self._problem(path, node, "an alias must not contain itself; remove it")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self._item(item, (*path, str(i))) for i, item in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _item(self, node: yaml.Node, path: Path) -> Any:
        self._document.lines[path] = node.start_mark.line + 1
        return self.value(node, path)

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        loader = _CoreSchemaLoader("")
        if node.tag not in (_plain_tag(loader, node.value), _TAG + "str"):
            self._problem(path, node, "the tag does not match the value; remove the tag")
            return None
        try:
            return loader.construct_object(node)
        except ValueError as error:
            self._problem(path, node, str(error))
            return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self._problem(path, key_node, "a key must be a string")
                continue
            here = (*path, key)
            if key in out:
                self._problem(
                    here,
                    key_node,
                    f"repeated key, first on line {self._document.lines[here]}; keep one of them",
                )
                continue
            self._document.lines[here] = key_node.start_mark.line + 1
            out[key] = self.value(value_node, here)
        return out

    def _problem(self, path: Path, node: yaml.Node, message: str) -> None:
        line = node.start_mark.line + 1
        self._document.problems.append(ConfigProblem(".".join(path), message, line))

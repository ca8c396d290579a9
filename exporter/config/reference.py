"""Generates docs/configuration.md from the models' JSON schema."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from exporter.config import models
from exporter.config.models import Config

VARIABLES = {
    "listen": "`PORT` replaces the port",
    "connections.<name>.url": "`REDIS_URL`, `REDIS_URL_<NAME>`",
}
"""Settings that the environment sets without a `${NAME}` in the file, with their variables."""

_NAMES = {"connections": "<name>", "queues.targets": "<pattern>"}
"""What the keys of a mapping are, by its path."""
_UNITS = {
    "_within": " of seconds, or a duration such as `90s` or `2h`",
    "_seconds": " of seconds",
    "_buckets": " of seconds",
    "_bytes": " of bytes",
}
_TYPES = {
    "integer": "integer",
    "number": "number",
    "string": "string",
    "array": "list",
    "object": "mapping",
}
_HEAD = """\
# Configuration

Generated from `exporter/config/models.py` by `make docs`.

Pass the file with `bullmq-exporter run --config FILE` or `BULLMQ_EXPORTER_CONFIG=FILE`. All
sections are optional. `bullmq-exporter config` prints the effective configuration; `config --check`
only validates it. All errors are reported at once, each with its line, key, value and remedy; the
exit code is then 2.

YAML is parsed strictly: unknown and repeated keys are errors, `on` and `12:30` are strings.
`${NAME}` and `${NAME:-fallback}` expand environment variables inside any string; an empty variable
takes the fallback, and `$${` is a literal `${`. Durations are in seconds unless they have a unit.

| variable | effect |
| --- | --- |
| `BULLMQ_EXPORTER_CONFIG` | the configuration file, unless `--config` is given |
| `REDIS_URL` | a connection named `default`, unless the file has `connections` |
| `REDIS_URL_<NAME>` | a connection named `<name>`, unless the file has `connections` |
| `PORT` | replaces the port of `listen`; the flag `--listen` overrides both |
| `BULLMQ_PREFIX` | replaces `queues.prefixes`: one or more, with commas |
| `BULLMQ_<SECTION>_<SETTING>` | replaces any other setting but mappings and lists of mappings |
| `BULLMQ_REDIS_<SETTING>` | replaces a setting of every connection |

The last two have the setting's path in capitals with `_` for `.`: `BULLMQ_QUEUES_INCLUDE=mail*,sms`
is `queues.include`, `BULLMQ_LOG_FORMAT=json` is `log.format`, and
`BULLMQ_REDIS_TLS_CA_FILE=/tls/ca.crt` is `tls.ca_file` of each connection. An empty variable counts
as unset, and one whose name is nearly right is an error.

Without a URL, the connection `default` uses `redis://localhost:6379/0`."""


@dataclass(frozen=True, slots=True)
class DocumentedKey:
    """One key: its path, with `<name>` for a connection, `<pattern>` for a glob and `[]` for the
    entries of a list; its meaning.
    """

    path: str
    default: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Group:
    """The settings of one section; the path of the top level is empty."""

    path: str
    meaning: str
    settings: tuple[DocumentedKey, ...]


def groups() -> list[Group]:
    """Every section that has settings, in the models' order."""
    schema = Config.model_json_schema(mode="serialization")
    sections = {"Config": schema, **schema["$defs"]}
    for name, meanings in _field_docstrings().items():
        for key, meaning in meanings.items():
            sections[name]["properties"][key]["description"] = meaning
    return [group for group in _groups(schema, "", schema["$defs"]) if group.settings]


def _field_docstrings() -> dict[str, dict[str, str]]:
    """Model → field → the string below it.

    pydantic can collect these (`use_attribute_docstrings`), but only by parsing the source at each
    start of the exporter, and only this documentation needs them.
    """
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(models)).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {
                field.target.id: inspect.cleandoc(str(below.value.value))
                for field, below in pairwise(node.body)
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
                if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            }
    return {name: meanings for name, meanings in found.items() if meanings}


def markdown() -> str:
    """The text of docs/configuration.md."""
    return "\n".join([_HEAD, *(line for group in groups() for line in _section(group))])


def _groups(model: dict[str, Any], path: str, models: dict[str, Any]) -> Iterator[Group]:
    """The model's settings, then those of its sections."""
    settings, inner = [], []
    for key, field in model["properties"].items():
        here = f"{path}.{key}" if path else key
        section = _section_of(field)
        if section is None:
            settings.append(_setting(here, key, field, required=key in model.get("required", ())))
        else:
            name = f".{_NAMES[here]}" if "additionalProperties" in field else ""
            name = "[]" if "items" in field else name
            inner.append((models[section], here + name))
    yield Group(path, model["description"], tuple(settings))
    for section_model, here in inner:
        yield from _groups(section_model, here, models)


def _section_of(field: dict[str, Any]) -> str | None:
    """The model of a field: its type, one of its alternatives, or the type of the values of a
    mapping or of the entries of a list.
    """
    inner = (field.get("additionalProperties", {}), field.get("items", {}))
    for schema in (field, *field.get("anyOf", ()), *inner):
        if isinstance(schema, dict) and "$ref" in schema:
            return str(schema["$ref"].rpartition("/")[2])
    return None


def _setting(path: str, key: str, field: dict[str, Any], *, required: bool) -> DocumentedKey:
    meaning = " ".join(field["description"].split())
    if path in VARIABLES:
        meaning += f" Environment: {VARIABLES[path]}."
    default = "required" if required else f"`{_shown(field['default'])}`"
    return DocumentedKey(path, default, _value(key, field), meaning)


def _shown(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value, ensure_ascii=False)


def _value(key: str, field: dict[str, Any]) -> str:
    """Type, unit and range, as shown in the table."""
    options = field.get("anyOf", [field])
    schema = next(option for option in options if option.get("type") != "null")
    unit = next((text for ending, text in _UNITS.items() if key.endswith(ending)), "")
    if "enum" in schema:
        kind = ", ".join(f"`{value}`" for value in schema["enum"])
    elif schema["type"] == "boolean":
        kind = "`true`, `false`"
    elif schema.get("format") == "path":
        kind = "path"
    elif schema["type"] == "array":
        inner = schema["items"]
        nested = f" of {_TYPES[inner['items']['type']]}s" if inner["type"] == "array" else ""
        kind = f"list of {_TYPES[inner['type']]}s{nested}"
    else:
        kind = _TYPES[schema["type"]]
    return ", ".join([kind + unit, *_range(schema)])


def _range(schema: dict[str, Any]) -> Iterator[str]:
    for key, template in (
        ("minimum", "at least {}"),
        ("exclusiveMinimum", "greater than {}"),
        ("exclusiveMaximum", "less than {}"),
        ("maximum", "at most {}"),
        ("minLength", "at least {} characters"),
        ("maxLength", "at most {} characters"),
        ("minItems", "at least {} entry"),
    ):
        if key in schema:
            yield template.format(schema[key])


def _section(group: Group) -> Iterator[str]:
    yield from ("", f"## `{group.path}`" if group.path else "## Top level", "")
    yield from (" ".join(group.meaning.split()), "")
    yield from ("| setting | default | value | meaning |", "| --- | --- | --- | --- |")
    for each in group.settings:
        key = each.path.removeprefix(f"{group.path}.") if group.path else each.path
        yield f"| `{key}` | {each.default} | {each.value} | {each.meaning} |"

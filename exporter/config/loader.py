"""Builds a `Config` from a file, the environment and the flags, or reports all errors at once."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from exporter.config.environment import connections_from, interpolate
from exporter.config.errors import ConfigError, ConfigProblem, masked
from exporter.config.files import load_files
from exporter.config.groups import group_problems
from exporter.config.models import Config, split_host_port
from exporter.config.regular_file import MAX_YAML_BYTES, read_text
from exporter.config.secret import MASK
from exporter.config.slos import slo_problems
from exporter.config.variables import apply_variables
from exporter.config.yaml_reader import Document, read_yaml
from exporter.config.yaml_reader import Path as KeyPath

DEFAULT_URL = "redis://localhost:6379/0"

_SECRET_KEYS = frozenset({"url", "basic_auth_users"})
_TYPES = {
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a string; quote it",
    "dataclass_exact_type": "must be a string; quote it",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "path_type": "must be a path",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "missing": "is missing; add it",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must have at least {min_length} character",
    "string_too_long": "must have at most {max_length} characters",
}


def load(
    path: Path | None,
    environ: Mapping[str, str],
    listen: str | None = None,
    web_config: Path | None = None,
) -> Config:
    """The configuration from a file, the environment and the flags of `run`.

    The file's connections override REDIS_URL and REDIS_URL_<NAME>. Other variables override the
    file: see `variables`; PORT overrides the listen address, and `--listen` overrides both.
    `--web.config.file` overrides `web.config_file`. Raises `ConfigError` with every error found.
    """
    source = str(path) if path is not None else "the environment"
    document = _read(path, source)
    data = interpolate(document, environ)
    problems = list(document.problems)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(source, [ConfigProblem("", "must be a mapping of keys to values", 1)])
    variables = _add_connections(data, environ)
    variables |= apply_variables(data, environ, problems)
    _set_listen(data, environ, listen, problems)
    if web_config is not None:
        variables |= _set_web_config(data, web_config)
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += _problems(error, document, variables)
    else:
        complete, file_problems = load_files(config)
        problems += [
            _problem(path, message, document, variables)
            for path, message in (*file_problems, *group_problems(config), *slo_problems(config))
        ]
        if not problems:
            return complete
    raise ConfigError(source, _sorted(problems))


def _read(path: Path | None, source: str) -> Document:
    if path is None:
        return Document()
    try:
        return read_yaml(read_text(path, MAX_YAML_BYTES), source)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        message = f"cannot be read ({reason}); check --config"
        raise ConfigError(source, [ConfigProblem("", message)]) from None
    except UnicodeDecodeError:
        raise ConfigError(source, [ConfigProblem("", "is not UTF-8; save it as UTF-8")]) from None


def _add_connections(data: dict[str, Any], environ: Mapping[str, str]) -> dict[KeyPath, str]:
    """Adds connections from the environment if the file has none; returns path → variable."""
    if data.get("connections") is not None:
        return {}
    urls = connections_from(environ) or {"default": DEFAULT_URL}
    data["connections"] = {name: {"url": url} for name, url in urls.items()}
    variables: dict[KeyPath, str] = {}
    for name in urls:
        variable = "REDIS_URL" if name == "default" else f"REDIS_URL_{name.upper()}"
        variables |= {("connections", name): variable, ("connections", name, "url"): variable}
    return variables


def _set_listen(
    data: dict[str, Any],
    environ: Mapping[str, str],
    flag: str | None,
    problems: list[ConfigProblem],
) -> None:
    port = environ.get("PORT", "")
    if flag is not None:
        data["listen"] = flag
    elif port and not _is_port(port):
        problems.append(
            ConfigProblem("PORT", f"must be a port number up to 65535, not {masked(port)!r}")
        )
    elif port:
        data["listen"] = _with_port(data.get("listen"), port)


def _set_web_config(data: dict[str, Any], flag: Path) -> dict[KeyPath, str]:
    """Sets the file; returns its path → the flag. A section that is no mapping is left as it is."""
    web = data.setdefault("web", {}) or {}
    if isinstance(web, dict):
        data["web"] = web | {"config_file": str(flag)}
    return {("web", "config_file"): "--web.config.file"}


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536


def _with_port(listen: Any, port: str) -> Any:
    """The address with this port; an invalid address is left for validation to report."""
    try:
        host, _ = split_host_port(
            listen if listen is not None else Config.model_fields["listen"].default
        )
    except (TypeError, ValueError):
        return listen
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# --- readable validation errors ------------------------------------------------------------------


def _problems(
    error: ValidationError, document: Document, variables: Mapping[KeyPath, str]
) -> Iterator[ConfigProblem]:
    for detail in error.errors(include_url=False):
        path = tuple(str(part) for part in detail["loc"] if part != "[key]")
        yield _problem(path, _message(detail, path), document, variables)


def _problem(
    path: KeyPath, message: str, document: Document, variables: Mapping[KeyPath, str]
) -> ConfigProblem:
    """A problem with a setting, named by the variable that it comes from, if it comes from one."""
    # the entry of a list has its place at the end
    setting = path[:-1] if path and path[-1].isdigit() else path
    if setting in variables:
        return ConfigProblem(variables[setting], message)
    return ConfigProblem(".".join(path), message, document.line_of(path))


def _message(detail: ErrorDetails, path: tuple[str, ...]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "value_error":
        return str(context["error"])
    text = _TYPES.get(kind)
    text = text.format(**context) if text else detail["msg"]
    value = detail.get("input")
    if kind == "missing" or isinstance(value, dict | list | tuple):
        return text
    shown = masked(value) if isinstance(value, str) else value
    wrong, separator, remedy = text.partition("; ")
    found = MASK if _SECRET_KEYS & set(path) else reprlib.repr(shown)
    return f"{wrong}, not {found}{separator}{remedy}"


def _unknown_key(path: tuple[str, ...]) -> str:
    known = sorted(_keys_at(path[:-1]))
    close = difflib.get_close_matches(path[-1], known, n=1)
    if path[-1] == "password":
        return "unknown key; put the password in the URL, or in a file and set password_file"
    if close:
        return f"unknown key; did you mean {close[0]}?"
    return f"unknown key; valid keys: {', '.join(known)}"


def _keys_at(path: tuple[str, ...]) -> set[str]:
    model: type[BaseModel] = Config
    for part in path:
        if model is Config and part == "connections":
            continue
        of_a_connection = _section(Config, "connections") if model is Config else None
        model = _section(model, part) or of_a_connection or model
    return set(model.model_fields)


def _section(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    field = model.model_fields.get(key)
    return _model_in(field.annotation) if field is not None else None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _model_in(part)
        if found is not None:
            return found
    return None


def _sorted(problems: list[ConfigProblem]) -> list[ConfigProblem]:
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.path))

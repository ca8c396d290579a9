"""A file with the options of `bullmq-exporter rules`: what jsonnet mixins keep in a `config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import yaml

from exporter.rules.change import RuleError

_URLS: Final = ("runbook_url", "grafana_url", "status_url")


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """The settings of a file; each has the meaning of the option of its name."""

    changes: tuple[str, ...] = ()
    """`set`, as ALERT.SETTING=VALUE."""
    without: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """As NAME=VALUE."""
    keep_labels: tuple[str, ...] = ()
    runbook_url: str = ""
    grafana_url: str = ""
    status_url: str = ""


def load_settings(path: Path | None) -> RuleSettings:
    """The settings in a file; the defaults without one. Raises `RuleError`."""
    if path is None:
        return RuleSettings()
    try:
        return read_settings(path.read_bytes())
    except OSError as error:
        raise RuleError(f"{path}: {error.strerror or type(error).__name__}") from None
    except RuleError as error:
        raise RuleError(f"{path}: {error}") from None


def read_settings(text: bytes) -> RuleSettings:
    """Parse a file of settings. Raises `RuleError`."""
    try:
        content = yaml.safe_load(text.decode())
    except UnicodeDecodeError:
        raise RuleError("the settings are not UTF-8") from None
    except yaml.YAMLError as error:
        raise RuleError(f"not valid YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return RuleSettings()
    if not isinstance(content, dict):
        raise RuleError("must be a mapping of settings to values")
    known = ("set", "without", "labels", "keep_labels", *_URLS)
    for name in content:
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"valid settings: {', '.join(known)}"
            raise RuleError(f"{name}: unknown setting; {hint}")
    urls = {name: _string(name, content.get(name)) for name in _URLS}
    return RuleSettings(
        _pairs("set", content.get("set")),
        _list("without", content.get("without")),
        _pairs("labels", content.get("labels")),
        _list("keep_labels", content.get("keep_labels")),
        **urls,
    )


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str | None):
        raise RuleError(f"{name}: must be a string; quote it")
    return value or ""


def _list(name: str, value: Any) -> tuple[str, ...]:
    if value is not None and not (
        isinstance(value, list) and all(isinstance(each, str) for each in value)
    ):
        raise RuleError(f"{name}: must be a list of names")
    return tuple(value or ())


def _pairs(name: str, value: Any) -> tuple[str, ...]:
    if value is not None and not isinstance(value, Mapping):
        raise RuleError(f"{name}: must be a mapping")
    pairs = []
    for key, each in (value or {}).items():
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise RuleError(f"{name}.{key}: must be a string or a number")
        pairs.append(f"{key}={each}")
    return tuple(pairs)

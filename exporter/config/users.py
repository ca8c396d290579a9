"""A separate file with users of the HTTP server: `name: hash`, as in Prometheus' web config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter.config.errors import ConfigError, ConfigProblem
from exporter.config.regular_file import MAX_YAML_BYTES, read_text
from exporter.config.secret import MASK, Secret
from exporter.config.yaml_reader import Document, read_yaml
from exporter.config.yaml_reader import Path as KeyPath

_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")


def checked_hash(secret: Secret) -> Secret:
    """The hash, if it is a bcrypt hash. Raises `ValueError`."""
    if _BCRYPT.fullmatch(secret.reveal()) is None:
        raise ValueError("must be a bcrypt hash; generate one with `htpasswd -nB`")
    return secret


def checked_user(name: str) -> str:
    """The name, if HTTP basic authentication can transmit it. Raises `ValueError`."""
    if not name or ":" in name:
        raise ValueError("a user name must not be empty or contain a colon")
    return name


def read_users(file: Path) -> dict[str, Secret]:
    """Hashes by user name. Raises `OSError`, or `ConfigError` with every error but no hash."""
    document = read_yaml(read_text(file, MAX_YAML_BYTES), str(file))
    if not isinstance(document.data, dict) or not document.data:
        raise ConfigError(
            str(file), [ConfigProblem("", "must have at least one line `name: hash`")]
        )
    users, problems = parse_users(document.data, document)
    if document.problems or problems:
        raise ConfigError(str(file), [*document.problems, *problems])
    return users


def parse_users(
    data: Mapping[str, Any], document: Document, path: KeyPath = ()
) -> tuple[dict[str, Secret], list[ConfigProblem]]:
    """Hashes by user name of the mapping at that path, and every error but no hash."""
    users: dict[str, Secret] = {}
    problems = []
    for name, value in data.items():
        here = (*path, name)
        try:
            users[checked_user(name)] = checked_hash(_secret(value))
        except ValueError as error:
            problems.append(ConfigProblem(".".join(here), str(error), document.line_of(here)))
    return users, problems


def _secret(value: object) -> Secret:
    return Secret(value if isinstance(value, str) else MASK)

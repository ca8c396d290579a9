"""Checks the files that a valid configuration names, and reads its users from one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from exporter.config.certificates import server_context
from exporter.config.errors import ConfigError
from exporter.config.models import Config
from exporter.config.users import read_users

FileProblem = tuple[tuple[str, ...], str]
"""The path of the key that names a file, and what is wrong with the file."""


def load_files(config: Config) -> tuple[Config, list[FileProblem]]:
    """The configuration with the users of `web.basic_auth_users_file`, and every problem found."""
    problems = list(_unreadable(config))
    if problems:
        return config, problems
    problems += _certificates(config)
    file = config.web.basic_auth_users_file
    if file is None:
        return config, problems
    key = ("web", "basic_auth_users_file")
    try:
        users = read_users(file)
    except ConfigError as error:
        problems += [(key, f"{error.source}: {problem}") for problem in error.problems]
        return config, problems
    inline = config.web.basic_auth_users
    problems += [
        (key, f"{file}: user {name} is also in web.basic_auth_users; keep one of them")
        for name in sorted(users.keys() & inline.keys())
    ]
    web = config.web.model_copy(update={"basic_auth_users": inline | users})
    return config.model_copy(update={"web": web}), problems


def _unreadable(config: Config) -> Iterator[FileProblem]:
    for path, file in _files(config):
        reason = _why_unreadable(file) if file is not None else None
        if reason:
            yield path, f"cannot read {file} ({reason}); check the path and its permissions"


def _files(config: Config) -> Iterator[tuple[tuple[str, ...], Path | None]]:
    for name, connection in config.connections.items():
        here, tls, sentinel = ("connections", name), connection.tls, connection.sentinel
        yield (*here, "password_file"), connection.password_file
        yield (*here, "sentinel", "password_file"), sentinel.password_file if sentinel else None
        yield (*here, "tls", "ca_file"), tls.ca_file
        yield (*here, "tls", "cert_file"), tls.cert_file
        yield (*here, "tls", "key_file"), tls.key_file
    web = config.web
    yield ("web", "tls", "cert_file"), web.tls.cert_file
    yield ("web", "tls", "key_file"), web.tls.key_file
    yield ("web", "tls", "client_ca_file"), web.tls.client_ca_file
    yield ("web", "basic_auth_users_file"), web.basic_auth_users_file


def _certificates(config: Config) -> Iterator[FileProblem]:
    try:
        server_context(config.web.tls)
    except ValueError as error:
        yield ("web", "tls"), str(error)


def _why_unreadable(file: Path) -> str | None:
    try:
        file.read_text(encoding="utf-8")
    except OSError as error:
        return error.strerror or type(error).__name__
    except UnicodeDecodeError:
        return "not UTF-8"
    return None

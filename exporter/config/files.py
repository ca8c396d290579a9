"""The files that a valid configuration names: whether they are usable, and who may read them."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from exporter.config.certificates import server_context
from exporter.config.errors import ConfigError
from exporter.config.models import Config, WebTLS
from exporter.config.regular_file import MAX_YAML_BYTES, read_text
from exporter.config.users import read_users
from exporter.config.web_config import read_web_config

_SECRET_FILES: Final = frozenset({"password_file", "key_file", "basic_auth_users_file"})
_INLINE_SECRET: Final = re.compile(r"://[^/\s@]*:(?!\$\{)[^\s@]+@|\$2[aby]\$\d\d\$")
"""A password in a URL that is not a variable, or a bcrypt hash."""

_WEB_CONFIG: Final = ("web", "config_file")

FileProblem = tuple[tuple[str, ...], str]
"""The path of the key that names a file, and what is wrong with the file."""


def load_files(config: Config) -> tuple[Config, list[FileProblem]]:
    """The configuration with what the files of `web` contain, and every problem found."""
    problems = list(_unreadable(config))
    if problems:
        return config, problems
    config, problems = _with_web_config(config)
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


def _with_web_config(config: Config) -> tuple[Config, list[FileProblem]]:
    """The configuration with TLS and users of `web.config_file`."""
    web, file = config.web, config.web.config_file
    if file is None:
        return config, []
    read = read_web_config(file, _why_unreadable)
    problems: list[FileProblem] = [(_WEB_CONFIG, f"{file}: {problem}") for problem in read.problems]
    if read.tls is not None and web.tls != WebTLS():
        problems.append((_WEB_CONFIG, f"{file}: web.tls is set as well; keep one of them"))
    if read.users and (web.basic_auth_users or web.basic_auth_users_file):
        what = "web.basic_auth_users or its file is set as well; keep one of them"
        problems.append((_WEB_CONFIG, f"{file}: {what}"))
    if problems:
        return config, problems
    update = {
        "tls": read.tls or web.tls,
        "basic_auth_users": read.users or web.basic_auth_users,
    }
    return config.model_copy(update={"web": web.model_copy(update=update)}), []


def exposed_files(config: Config, source: Path | None) -> list[Path]:
    """The files with secrets that every user of the machine may read.

    `source` is the file of the configuration itself; it and `web.config_file` count if a password
    or a hash is in them.
    """
    secret = [file for path, file in _files(config) if path[-1] in _SECRET_FILES]
    for file in (config.web.config_file, source):
        if file is not None and _has_secret(file):
            secret.insert(0, file)
    return [file for file in secret if file is not None and _readable_by_all(file)]


def _has_secret(source: Path) -> bool:
    try:
        return _INLINE_SECRET.search(read_text(source, MAX_YAML_BYTES)) is not None
    except (OSError, UnicodeDecodeError):
        return False  # it was readable when it was loaded


def _readable_by_all(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


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
    yield _WEB_CONFIG, web.config_file


def _certificates(config: Config) -> Iterator[FileProblem]:
    try:
        server_context(config.web.tls)
    except ValueError as error:
        from_file = config.web.config_file is not None
        yield _WEB_CONFIG if from_file else ("web", "tls"), str(error)


def _why_unreadable(file: Path) -> str | None:
    try:
        read_text(file)
    except OSError as error:
        return error.strerror or type(error).__name__
    except UnicodeDecodeError:
        return "not UTF-8"
    except ValueError:
        return "not a path"  # a null character, or half of a surrogate pair
    return None

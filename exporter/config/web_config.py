"""Prometheus' own format for TLS and users of an exporter: what its `--web.config.file` reads.

The format is exporter-toolkit's (https://prometheus.io/docs/prometheus/latest/configuration/https/).
A setting that this exporter cannot follow is an error, unless it asks for what happens anyway.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from exporter.config.errors import ConfigError, ConfigProblem
from exporter.config.models import WebTLS
from exporter.config.regular_file import MAX_YAML_BYTES, read_text
from exporter.config.secret import Secret
from exporter.config.users import parse_users
from exporter.config.yaml_reader import Document, read_yaml

_TLS: Final = "tls_server_config"
_HTTP: Final = "http_server_config"
_USERS: Final = "basic_auth_users"
_FILES: Final = ("cert_file", "key_file", "client_ca_file")
_VERIFIED: Final = "RequireAndVerifyClientCert"
_NO_CLIENT: Final = ("", "NoClientCert")
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({_TLS, _HTTP, _USERS}),
    _TLS: frozenset(
        {*_FILES, "client_auth_type", "min_version", "max_version", "prefer_server_cipher_suites"}
    ),
    _HTTP: frozenset({"http2"}),
}
_AS_IT_IS: Final[Mapping[tuple[str, str], Any]] = {
    (_TLS, "min_version"): "TLS12",
    (_TLS, "max_version"): "TLS13",
    (_TLS, "prefer_server_cipher_suites"): True,
    (_HTTP, "http2"): False,
}
"""The only value of these that the server follows."""
_REMEDIES: Final[Mapping[tuple[str, str], str]] = {
    ("", "rate_limit"): "use web.max_concurrent_requests",
    (_TLS, "cert"): "use cert_file",
    (_TLS, "key"): "use key_file",
    (_TLS, "client_ca"): "use client_ca_file",
    (_TLS, "client_allowed_sans"): "let client_ca_file have only the CA of clients with access",
    (_TLS, "cipher_suites"): "remove it; OpenSSL's defaults are used",
    (_TLS, "curve_preferences"): "remove it; OpenSSL's defaults are used",
    (_HTTP, "headers"): "set headers in a reverse proxy",
}
"""Keys of the format that are not supported, and what to do instead."""


@dataclass(slots=True)
class WebConfig:
    """What a file of the format asks for, and every error in it."""

    tls: WebTLS | None = None
    users: dict[str, Secret] = field(default_factory=dict)
    problems: list[ConfigProblem] = field(default_factory=list)


def read_web_config(file: Path, unreadable: Callable[[Path], str | None]) -> WebConfig:
    """Read the file; relative paths in it begin at its folder.

    `unreadable` returns why a file cannot be read. Raises `OSError` and `UnicodeDecodeError` if
    this one cannot be.
    """
    found = WebConfig()
    try:
        document = read_yaml(read_text(file, MAX_YAML_BYTES), str(file))
    except ConfigError as error:
        found.problems += error.problems
        return found
    reader = _Reader(document, file.parent, unreadable, found)
    reader.read()
    return found


class _Reader:
    """Turns the document into settings; collects the problems on the way."""

    def __init__(
        self,
        document: Document,
        folder: Path,
        unreadable: Callable[[Path], str | None],
        found: WebConfig,
    ) -> None:
        self._document = document
        self._folder = folder
        self._unreadable = unreadable
        self._found = found

    def read(self) -> None:
        """Fill in what the document asks for."""
        self._found.problems += self._document.problems
        top = self._section("", self._document.data)
        tls = self._section(_TLS, top.get(_TLS))
        self._section(_HTTP, top.get(_HTTP))
        if tls:
            self._read_tls(tls)
        users = top.get(_USERS)
        if isinstance(users, dict):
            self._found.users, problems = parse_users(users, self._document, (_USERS,))
            self._found.problems += problems
        elif users is not None:
            self._problem((_USERS,), "must be a mapping of names to bcrypt hashes")

    def _section(self, name: str, value: Any) -> dict[str, Any]:
        """The section's keys that are supported; empty if it is absent."""
        here = (name,) if name else ()
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._problem(here, "must be a mapping of keys to values")
            return {}
        for key in value:
            if key not in _KNOWN[name]:
                self._problem((*here, key), self._unknown(name, key))
            elif value[key] != _AS_IT_IS.get((name, key), value[key]):
                only = _shown(_AS_IT_IS[name, key])
                self._problem((*here, key), f"only {only} is supported; remove the key")
        return {key: each for key, each in value.items() if key in _KNOWN[name]}

    def _unknown(self, section: str, key: str) -> str:
        if (section, key) in _REMEDIES:
            return f"is not supported by this exporter; {_REMEDIES[section, key]}"
        close = difflib.get_close_matches(key, _KNOWN[section], n=1)
        if close:
            return f"unknown key; did you mean {close[0]}?"
        return f"unknown key; supported keys: {', '.join(sorted(_KNOWN[section]))}"

    def _read_tls(self, tls: Mapping[str, Any]) -> None:
        files = {key: self._path(key, tls[key]) for key in _FILES if tls.get(key) not in (None, "")}
        for key in ("cert_file", "key_file"):
            if key not in files:
                self._problem((_TLS,), f"{key} is missing; add it")
        policy = tls.get("client_auth_type") or ""
        verified = policy == _VERIFIED
        if not verified and policy not in _NO_CLIENT:
            self._problem(
                (_TLS, "client_auth_type"),
                f"only {_VERIFIED} and {_NO_CLIENT[1]} are supported, which leave no client "
                "unverified; use one of them",
            )
        elif verified and "client_ca_file" not in files:
            self._problem((_TLS, "client_auth_type"), "requires client_ca_file; add it")
        elif not verified and "client_ca_file" in files:
            what = f"has no effect; set client_auth_type: {_VERIFIED}, or remove it"
            self._problem((_TLS, "client_ca_file"), what)
        if not self._found.problems:
            self._found.tls = WebTLS(**files)

    def _path(self, key: str, value: Any) -> Path | None:
        # a URL may contain a password, which a message must not show
        if not isinstance(value, str) or "://" in value:
            self._problem((_TLS, key), "must be a path")
            return None
        file = self._folder / value
        reason = self._unreadable(file)
        if reason:
            what = f"cannot read {file} ({reason}); check the path and its permissions"
            self._problem((_TLS, key), what)
        return file

    def _problem(self, path: tuple[str, ...], message: str) -> None:
        line = self._document.line_of(path)
        self._found.problems.append(ConfigProblem(".".join(path), message, line))


def _shown(value: Any) -> str:
    """The value as in YAML."""
    return str(value).lower() if isinstance(value, bool) else str(value)

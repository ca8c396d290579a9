"""Configuration from files and the environment: a `Config`, or a `ConfigError` without a secret."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.errors import ConfigError
from exporter.config.loader import load
from exporter.config.models import split_host_port
from exporter.config.shard import parse_shard
from exporter.config.show import show
from exporter.config.url import parse_url
from exporter.config.users import read_users
from exporter.config.yaml_reader import read_yaml
from exporter.connection import Metadata
from exporter.log import _TextFormatter
from tests.support.fuzzing.profile import fuzz

SECRET = "hunter2"  # no other input contains it
HASH = "$2y$04$" + "h" * 53

odd = st.text(max_size=12) | st.sampled_from(
    (
        *("", "*", "&a", "*a", "!!python/object:os.system", "<<", "---", "${X}", "${X:-1}", "${"),
        *("$${x}", "\ud800", "\x00", "on", "12:30", "0x10", "1e400", ".inf", ".nan", "-1", "{}"),
        *(
            "9" * 5000,
            "[" * 500,
            "{a: " * 500,
            "x" * 2000,
            "~",
            "2026-01-01",
            "= ",
            "!!int x",
            "!!float x",
        ),
        *("!!binary =", "!!timestamp x", "!!bool x", "!!set {a}"),
    )
)
urls = st.one_of(
    st.tuples(
        st.sampled_from(["redis", "rediss", "unix", "http", ""]),
        st.sampled_from(
            [f"u:{SECRET}@", f":{SECRET}@", f"u:{SECRET}/x@", f":{SECRET}#@", f"u:a?{SECRET}@"]
        )
        | st.just(""),
        st.sampled_from(["h", "[::1]", "h:1", "h:99999", "h:x", "[", "", "/run/r.sock"]) | odd,
        st.sampled_from(
            ["", "/", "/0", "/x", "/99", "?db=1", "?db=x", "?password=x", "/²", "/" + "9" * 5000]
        ),
    ).map(lambda parts: f"{parts[0]}://{parts[1]}{parts[2]}{parts[3]}"),
    odd,
)

_KEYS = (
    *("listen", "connections", "queues", "poll", "events", "sync", "web", "log", "url", "username"),
    *("password_file", "tls", "ca_file", "sentinel", "master", "nodes", "cluster", "prefixes"),
    *("include", "static", "discovery", "max", "shard", "interval_seconds", "wait_buckets"),
    *("basic_auth_users", "level", "enabled", "password", "stale_after_seconds", "verify", "api"),
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**6)
    | st.integers()
    | st.floats()
    | odd
    | urls
    | st.just(HASH)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_KEYS) | odd, inner, max_size=4)
    ),
    max_leaves=10,
)


def sections(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), values, max_size=3)


configs = st.fixed_dictionaries(
    {},
    optional={
        "listen": st.sampled_from([":1", "0.0.0.0:9538", "[::1]:1", "x"]) | odd,
        "connections": st.dictionaries(
            st.sampled_from(["api", "worker", "a b", ""]) | odd,
            st.fixed_dictionaries(
                {"url": urls},
                optional={
                    "sentinel": sections("master", "nodes", "password_file"),
                    "tls": sections("ca_file", "cert_file", "key_file", "verify"),
                    "cluster": values,
                    "password_file": odd,
                    "timeout_seconds": values,
                },
            )
            | values,
            max_size=2,
        ),
        "queues": sections("prefixes", "include", "static", "max", "shard", "discovery"),
        "poll": sections("interval_seconds", "stale_after_seconds", "blocked_after_seconds"),
        "events": sections("wait_buckets", "run_buckets", "max_inflight", "enabled"),
        "sync": sections("timeout_seconds", "key_prefix", "interval_seconds"),
        "web": sections("tls", "basic_auth_users", "basic_auth_users_file", "enable_lifecycle"),
        "log": sections("level", "format"),
        "nothing": values,
    },
)
web_configs = st.fixed_dictionaries(
    {},
    optional={
        "tls_server_config": sections(
            "cert_file", "key_file", "client_ca_file", "client_auth_type", "min_version", "cert"
        ),
        "http_server_config": sections("http2", "headers"),
        "basic_auth_users": st.dictionaries(odd, values | st.just(HASH), max_size=3) | values,
        "nothing": values,
    },
)
mutations = st.lists(
    st.tuples(
        st.integers(0, 400), st.integers(0, 9), odd | st.sampled_from(["\n", "  ", ": ", "- "])
    ),
    max_size=4,
)
environments = st.dictionaries(
    st.sampled_from(["REDIS_URL", "REDIS_URL_API", "REDIS_URL_", "REDIS_URL_A B", "PORT", "X"]),
    urls | odd,
    max_size=3,
)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@contextmanager
def file_of(content: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(content)
        file.flush()
        yield Path(file.name)


@contextmanager
def refused(*kinds: type[Exception]) -> Iterator[list[str]]:
    """Collect the messages of these errors; any other exception fails the test."""
    messages: list[str] = []
    try:
        yield messages
    except kinds as error:
        messages.append(str(error))


def check(path: Path | None, environ: Mapping[str, str], web_config: Path | None = None) -> None:
    """A loaded configuration can be used and shown; an error message has no secret."""
    with refused(ConfigError) as messages:
        config = load(path, environ, web_config=web_config)
        messages.append(show(config) + repr(config))
        split_host_port(config.listen)
        for connection in config.connections.values():
            usable(str(connection.url), connection.url.hash, connection.url.address)
        for text in (*config.queues.prefixes, *config.queues.static, config.sync.key_prefix):
            text.encode()
    assert messages
    assert SECRET not in "".join(messages)
    "".join(messages).encode()


def usable(url: str, url_hash: str, address: str) -> None:
    """The metadata of a connection can be logged and shown."""
    known = Metadata("n", address, url, url_hash, 0, 0.0)
    record = logging.LogRecord("x", logging.INFO, "", 0, known.url, None, None)
    _TextFormatter().format(record).encode()


def mutated(text: str, changes: list[tuple[int, int, str]]) -> bytes:
    for place, size, more in changes:
        text = text[:place] + more + text[place + size :]
    return encoded(text)


@fuzz(1)
@given(configs | values, environments)
def test_valid_files(data: object, environ: dict[str, str]) -> None:
    text = yaml.safe_dump(data, allow_unicode=True)
    with file_of(encoded(text)) as path:
        check(path, environ)


@fuzz(1)
@given(web_configs | values, mutations)
def test_web_config_files(data: object, changes: list[tuple[int, int, str]]) -> None:
    with file_of(mutated(yaml.safe_dump(data, sort_keys=False), changes)) as path:
        check(None, {}, path)


@fuzz(1)
@given(configs, mutations, environments)
def test_edited_files(
    data: object, changes: list[tuple[int, int, str]], environ: dict[str, str]
) -> None:
    with file_of(mutated(yaml.safe_dump(data, sort_keys=False), changes)) as path:
        check(path, environ)


@fuzz(1)
@given(st.binary(max_size=60) | st.lists(odd, max_size=8).map("\n".join).map(encoded), environments)
def test_files_of_any_bytes(content: bytes, environ: dict[str, str]) -> None:
    with file_of(content) as path:
        check(path, environ)


@fuzz(3)
@given(environments)
def test_the_environment(environ: dict[str, str]) -> None:
    check(None, environ)


@fuzz(6)
@given(urls)
def test_urls(text: str) -> None:
    url = None
    with refused(ValueError) as messages:
        url = parse_url(text.encode("utf-8", "replace").decode())
    if url is not None:
        messages.append(f"{url} {url!r} {url.without_credentials} {url.address} {url.hash}")
    assert SECRET not in "".join(messages)


@fuzz(3)
@given(st.text(max_size=12) | st.from_regex(r"[a-z-]{0,5}\d{1,5}/\d{1,5}", fullmatch=True), odd)
def test_shards_and_addresses(text: str, more: str) -> None:
    for read in (parse_shard, split_host_port):
        for given_ in (text, more):
            with refused(ValueError) as messages:
                read(given_)
            assert all(message.startswith("must be") for message in messages)


@fuzz(1)
@given(st.dictionaries(odd, st.just(HASH) | odd, max_size=3), mutations)
def test_users(users: dict[str, str], changes: list[tuple[int, int, str]]) -> None:
    with file_of(mutated(yaml.safe_dump(users), changes)) as path:
        with refused(ConfigError, UnicodeDecodeError) as messages:
            read_users(path)
        assert "h" * 31 not in "".join(messages)


@fuzz(2)
@given(st.text(max_size=60))
def test_yaml(text: str) -> None:
    with refused(ConfigError):
        document = read_yaml(text, "x")
        assert all(line > 0 for line in document.lines.values())

"""Settings from the environment: names, values, and errors that name the variable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.config.errors import ConfigError
from exporter.config.loader import load
from exporter.config.models import Config
from exporter.config.reference import groups
from exporter.config.variables import connection_variables, setting_variables

REDIS = {"REDIS_URL_API": "redis://a", "REDIS_URL_WORKER": "rediss://b"}


def value(config: Config, path: tuple[str, ...]) -> Any:
    found: Any = config
    for key in path:
        found = found[key] if isinstance(found, dict) else getattr(found, key)
    return found


@pytest.mark.parametrize(
    ("variable", "text", "path", "expected"),
    [
        ("BULLMQ_PREFIX", "bull", ("queues", "prefixes"), ("bull",)),
        ("BULLMQ_PREFIX", "{bull}, jobs:eu ,", ("queues", "prefixes"), ("{bull}", "jobs:eu")),
        ("BULLMQ_QUEUES_INCLUDE", "mail*,12", ("queues", "include"), ("mail*", "12")),
        ("BULLMQ_QUEUES_EXCLUDE", "tmp-*", ("queues", "exclude"), ("tmp-*",)),
        ("BULLMQ_POLL_INTERVAL_SECONDS", "2.5", ("poll", "interval_seconds"), 2.5),
        ("BULLMQ_EVENTS_ENABLED", "false", ("events", "enabled"), False),
        ("BULLMQ_EVENTS_WAIT_BUCKETS", "1,2.5", ("events", "wait_buckets"), (1, 2.5)),
        ("BULLMQ_LOG_FORMAT", "json", ("log", "format"), "json"),
        ("BULLMQ_LISTEN", "127.0.0.1:1", ("listen",), "127.0.0.1:1"),
        ("BULLMQ_REDIS_TLS_VERIFY", "false", ("connections", "api", "tls", "verify"), False),
        ("BULLMQ_REDIS_TLS_VERIFY", "false", ("connections", "worker", "tls", "verify"), False),
        ("BULLMQ_REDIS_USERNAME", "5", ("connections", "api", "username"), "5"),
        ("BULLMQ_QUEUES_INCLUDE", "", ("queues", "include"), ("*",)),
        ("BULLMQ_EXPORTER_PORT", "tcp://10.0.0.1:9538", ("listen",), "0.0.0.0:9538"),
        ("BULLMQ_OF_SOMEBODY_ELSE", "x", ("listen",), "0.0.0.0:9538"),
    ],
)
def test_value_of_a_variable(
    variable: str, text: str, path: tuple[str, ...], expected: object
) -> None:
    assert value(load(None, REDIS | {variable: text}), path) == expected


def test_a_variable_overrides_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "connections: {api: {url: redis://a, timeout_seconds: 3}}\nlog: {level: debug}\n"
    )
    changed = {"BULLMQ_LOG_FORMAT": "json", "BULLMQ_REDIS_TIMEOUT_SECONDS": "7", "PORT": "80"}
    config = load(file, changed | {"BULLMQ_LISTEN": "[::1]:9"})
    assert (config.log.level, config.log.format) == ("debug", "json")
    assert config.connections["api"].timeout_seconds == 7
    assert config.listen == "[::1]:80"


def test_errors_name_the_variable() -> None:
    with pytest.raises(ConfigError) as error:
        load(
            None,
            REDIS
            | {
                "BULLMQ_POLL_INTERVAL_SECONDS": "soon",
                "BULLMQ_LOG_FORMAT": "xml",
                "BULLMQ_EVENTS_RUN_BUCKETS": "1,x",
                "BULLMQ_QUEUES_INCLUD": "mail",
                "BULLMQ_REDIS_SENTINEL_NODES": "a",
            },
        )
    shown = str(error.value)
    for line in (
        "BULLMQ_POLL_INTERVAL_SECONDS: must be a number, not 'soon'",
        "BULLMQ_LOG_FORMAT: must be 'text' or 'json', not 'xml'",
        "BULLMQ_EVENTS_RUN_BUCKETS: must be a number, not 'x'",
        "BULLMQ_QUEUES_INCLUD: unknown; did you mean BULLMQ_QUEUES_INCLUDE?",
        'BULLMQ_REDIS_SENTINEL_NODES: must be "host:port"',
        "connections.api.sentinel.master: is missing; add it",
    ):
        assert line in shown, shown


def test_an_unreadable_file_is_named_by_its_variable() -> None:
    with pytest.raises(ConfigError) as error:
        load(None, {"BULLMQ_WEB_BASIC_AUTH_USERS_FILE": "/nowhere"})
    assert "BULLMQ_WEB_BASIC_AUTH_USERS_FILE: " in str(error.value)


def test_a_password_in_a_variable_is_not_shown() -> None:
    with pytest.raises(ConfigError) as error:
        load(None, {"BULLMQ_LOG_FORMAT": "redis://:secret@host"})
    assert "secret" not in str(error.value)


def test_every_setting_has_a_variable_or_is_a_mapping() -> None:
    """As the documentation says."""
    paths = {".".join(each.path) for each in setting_variables().values()}
    paths |= {
        f"connections.<name>.{'.'.join(each.path)}" for each in connection_variables().values()
    }
    without = {key.path for group in groups() for key in group.settings} - paths
    assert without == {
        "connections.<name>.url",
        *(f"queues.targets.<pattern>.{name}_seconds" for name in ("wait", "run", "silent")),
        "queues.targets.<pattern>.failure_ratio",
        *(f"slos[].{name}" for name in ("match", "name", "start_within", "run_within")),
        "slos[].objective",
        "sync.groups",
        "web.basic_auth_users",
        "web.links",
    }

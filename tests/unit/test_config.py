"""Loading the configuration: values, environment variables, secrets and error messages."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from exporter.config import yaml_reader
from exporter.config.errors import ConfigError
from exporter.config.loader import load
from exporter.config.models import Events
from exporter.config.secret import Secret
from exporter.config.show import show
from exporter.config.url import parse_url
from exporter.rules import threshold
from tests.support.commands import ROOT

BAD = sorted((Path(__file__).parent / "config_bad").glob("*.yaml"))


def write(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("file", BAD, ids=[file.stem for file in BAD])
def test_errors_of_a_bad_file(file: Path) -> None:
    expected = [
        line.removeprefix("# expect: ")
        for line in file.read_text().splitlines()
        if line.startswith("# expect: ")
    ]
    assert expected

    with pytest.raises(ConfigError) as caught:
        load(file, {})

    messages = [str(problem) for problem in caught.value.problems]
    assert [line for line in expected if line not in messages] == [], messages
    assert "hunter2" not in str(caught.value)


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    file = write(tmp_path, "listen: x\nqueues: {max: 0}\npoll: {interval: 1}\nfoo: 1\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {"PORT": "http"})
    known = "connections, events, history, listen, log, poll, queues, scaling, slos, sync, web"
    assert str(caught.value).splitlines() == [
        f"5 errors in {file}",
        "  PORT: must be a port number up to 65535, not 'http'",
        '  line 1, listen: must be "host:port" with a port up to 65535, as in "0.0.0.0:9538"',
        "  line 2, queues.max: must be at least 1, not 0",
        "  line 3, poll.interval: unknown key; did you mean interval_seconds?",
        f"  line 4, foo: unknown key; valid keys: {known}",
    ]


def test_the_example_has_the_defaults() -> None:
    assert load(ROOT / "config.yaml", {}) == load(None, {})


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        load(tmp_path / "none.yaml", {})


def test_an_empty_file_has_every_default(tmp_path: Path) -> None:
    assert load(write(tmp_path, "# nothing\n"), {}) == load(None, {})


def test_wait_times_are_measured_from_a_millisecond() -> None:
    """Idle workers start jobs within milliseconds; alerts look at minutes and hours."""
    bounds = Events().wait_buckets
    assert bounds[0] == 0.001
    # a quantile is interpolated within a bucket, so it is at most this far off
    assert all(upper <= 6 * lower for lower, upper in pairwise(bounds))
    assert len(bounds) <= 12, "each bound is a series for every queue"
    for alert in ("JobsWaitingTooLong", "JobsWaitingFarTooLong"):
        assert threshold(alert, "above_seconds") in bounds


def test_slos_have_names_and_apply_to_all_queues_that_match(tmp_path: Path) -> None:
    text = """
slos:
  - {match: "mail*", start_within: 30s, objective: 99.5}
  - {match: "mail-*", run_within: 1h30m, objective: 99}
  - {match: "*", start_within: 0.25, objective: 50, name: anything}
  - {match: "*", run_within: 500ms, objective: 50}
"""
    config = load(write(tmp_path, text), {})
    assert [(slo.label, slo.target_seconds, slo.objective_ratio) for slo in config.slos] == [
        ("mail-start-within-30s", 30, 0.995),
        ("mail-run-within-90m", 5400, 0.99),
        ("anything", 0.25, 0.5),
        ("all-run-within-500ms", 0.5, 0.5),
    ]
    matching = {
        name: [config.slos.index(slo) for slo in config.slos_of(name)]
        for name in ("mail", "mail-eu", "sms")
    }
    assert matching == {"mail": [0, 2, 3], "mail-eu": [0, 1, 2, 3], "sms": [2, 3]}


class TestEnvironment:
    def test_interpolated_values_are_converted(self, tmp_path: Path) -> None:
        text = """
connections: {api: {url: "redis://${HOST}:${PORT_:-6380}/2", username: "${USER_}",
  cluster: "${C:-false}"}}
queues: {max: "${MAX}", static: ["${A}-${B:-b}", "$${literal}"]}
poll: {interval_seconds: "${SECONDS}"}
"""
        environ = {"HOST": "h", "MAX": "7", "SECONDS": "0.5", "A": "a", "B": "", "USER_": "123"}
        config = load(write(tmp_path, text), environ)
        assert str(config.connections["api"].url) == "redis://h:6380/2"
        assert config.connections["api"].username == "123"
        assert config.queues.max == 7
        assert config.queues.static == ("a-b", "${literal}")
        assert config.poll.interval_seconds == 0.5

    def test_redis_url_defines_the_default_connection(self) -> None:
        config = load(None, {"REDIS_URL": "redis://h:1/2"})
        assert {name: str(c.url) for name, c in config.connections.items()} == {
            "default": "redis://h:1/2"
        }

    def test_redis_url_with_a_name_defines_a_connection(self) -> None:
        environ = {"REDIS_URL_WORKER": "redis://w", "REDIS_URL_API": "redis://a", "REDIS_URL": ""}
        assert list(load(None, environ).connections) == ["api", "worker"]

    def test_the_file_wins_over_redis_url(self, tmp_path: Path) -> None:
        file = write(tmp_path, "connections: {api: {url: redis://file}}")
        config = load(file, {"REDIS_URL": "redis://environment"})
        assert str(config.connections["api"].url) == "redis://file:6379/0"
        assert list(config.connections) == ["api"]

    def test_an_error_in_a_url_names_the_variable(self) -> None:
        with pytest.raises(ConfigError) as caught:
            load(None, {"REDIS_URL_API": "redis://:hunter2@h/x"})
        assert str(caught.value).startswith("1 error in the environment\n  REDIS_URL_API: needs a")
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(
        ("environ", "flag", "listen"),
        [
            ({}, None, "0.0.0.0:9538"),
            ({"PORT": "80"}, None, "0.0.0.0:80"),
            ({"PORT": "80"}, "[::1]:1", "[::1]:1"),
        ],
    )
    def test_precedence_of_the_listen_address(
        self, environ: dict[str, str], flag: str | None, listen: str
    ) -> None:
        assert load(None, environ, flag).listen == listen

    def test_port_keeps_the_host_of_the_file(self, tmp_path: Path) -> None:
        file = write(tmp_path, 'listen: "[::1]:9"')
        assert load(file, {"PORT": "80"}).listen == "[::1]:80"


class TestURL:
    @pytest.mark.parametrize(
        ("text", "shown", "address", "db"),
        [
            ("redis://h", "redis://h:6379/0", "h:6379", 0),
            ("redis://u:p%40%2F@h:1/3", "redis://u:***@h:1/3", "h:1", 3),
            ("rediss://:p@[::1]:1?db=4", "rediss://:***@[::1]:1/4", "[::1]:1", 4),
            ("redis://h/0?family=0", "redis://h:6379/0", "h:6379", 0),
            ("unix:///run/r.sock?db=2", "unix:///run/r.sock?db=2", "/run/r.sock", 2),
            ("unix://u:p@/run/r.sock", "unix://u:***@/run/r.sock?db=0", "/run/r.sock", 0),
        ],
    )
    def test_accepted_forms(self, text: str, shown: str, address: str, db: int) -> None:
        url = parse_url(text)
        assert (str(url), url.address, url.db) == (shown, address, db)

    def test_credentials_are_decoded(self) -> None:
        url = parse_url("redis://us%20er:p%40%2F@h")
        assert url.username == "us er"
        assert url.password == Secret("p@/")

    def test_the_hash_ignores_credentials(self) -> None:
        assert parse_url("redis://a:b@h/1").hash == parse_url("redis://h:6379?db=1").hash
        assert parse_url("redis://h/1").hash != parse_url("redis://h/2").hash


class TestSecrets:
    def test_a_secret_prints_masked(self) -> None:
        secret = Secret("hunter2")
        assert f"{secret} {secret!r} {[secret]}" == "*** *** [***]"
        assert secret.reveal() == "hunter2"
        assert "hunter2" not in repr(load(None, {"REDIS_URL": "redis://:hunter2@h"}))

    def test_the_effective_configuration_is_masked_and_complete(self, tmp_path: Path) -> None:
        config = load(None, {"REDIS_URL": "redis://u:hunter2@h"})
        text = show(config)
        assert "hunter2" not in text
        assert "redis://u:***@h:6379/0" in text
        again = text.replace(":***", "")
        assert yaml.safe_load(again)["poll"]["interval_seconds"] == 5.0
        assert load(write(tmp_path, again), {}).poll == config.poll

    def test_a_password_file_wins_over_the_url(self, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("from file\n")
        text = f"connections: {{a: {{url: 'redis://:url@h', password_file: {tmp_path}/password}}}}"
        connection = load(write(tmp_path, text), {}).connections["a"]
        assert connection.read_password() == Secret("from file")


def test_a_too_long_list_is_rejected_before_it_is_read(tmp_path: Path) -> None:
    """The error names the first line over the limit, so the rest was not read."""
    file = write(tmp_path, "queues:\n  static:\n" + "  - a\n" * (yaml_reader._MAX_NODES + 1000))
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    (problem,) = caught.value.problems
    assert problem.message == "has more than 25000 keys and values; shorten it"
    assert problem.line is not None
    assert problem.line <= yaml_reader._MAX_NODES

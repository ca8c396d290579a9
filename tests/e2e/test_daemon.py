"""The daemon: start without Redis, several connections, its pages, and its stop."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from tests.support.command import command, process
from tests.support.commands import ROOT
from tests.support.daemon import Daemon, daemon
from tests.support.pages import every, jobs, parse, value
from tests.support.proxy import Proxy
from tests.support.redis_data import add_queues
from tests.support.servers import Server, free_port, valkey
from tests.support.waiting import LIMIT_SECONDS, wait_for


def up(running: Daemon) -> float | None:
    return value(running.samples(), "bullmq_up")


def test_redis_absent_at_start(tmp_path: Path) -> None:
    port = free_port()
    # discovery may run on the new server before it has a queue
    config = (
        f"connections: {{api: {{url: 'redis://127.0.0.1:{port}/0'}}}}\n"
        "poll: {interval_seconds: 0.2}\nqueues: {discovery_interval_seconds: 1}\n"
    )
    with daemon(tmp_path, config) as running:
        assert up(running) == 0
        assert running.get("/-/healthy").status == 200
        answer = running.get("/health/redis")
        assert answer.status == 503
        assert answer.json["connections"]["api"]["last_error"]["error"] == "connection"
        assert "REDIS connection-test failed connection=api" in running.log
        with valkey(port=port) as server:
            add_queues(server.client(), "mail")
            wait_for(lambda: jobs(running.samples()), "recovery")
            assert up(running) == 1
            assert running.get("/health/redis").status == 200
        assert "REDIS connected connection=api" in running.log


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """A server that only `several` connects to."""
    with valkey() as found:
        add_queues(found.client(), "mail")
        yield found


@pytest.fixture(scope="module")
def several(shared: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An exporter with three connections to one keyspace, and one that is refused."""
    urls = {
        "REDIS_URL_API": shared.url,
        "REDIS_URL_GONE": f"redis://127.0.0.1:{free_port()}/0",
        "REDIS_URL_WORKER": shared.url.replace("127.0.0.1", "localhost"),
        "REDIS_URL_ZTWIN": shared.url,  # the same URL as the first, so the same client
    }
    with daemon(tmp_path_factory.mktemp("several"), **urls) as running:
        wait_for(lambda: jobs(running.samples()), "queues on the page")
        yield running


def test_a_lost_connection_does_not_affect_the_others(several: Daemon) -> None:
    up = {dict(k[1])["connection"]: v for k, v in every(several.samples(), "bullmq_up").items()}
    assert up == {"api": 1, "gone": 0, "worker": 1, "ztwin": 1}
    assert several.get("/health/redis").json["status"] == "degraded"
    assert several.get("/health/redis?connection=api").status == 200
    assert several.get("/health/redis?connection=gone").status == 503
    assert several.get("/health/redis?connection=other").status == 404


def test_connections_to_one_keyspace_are_read_once(several: Daemon, shared: Server) -> None:
    samples = several.samples()
    assert {dict(k[1])["connection"] for k in every(samples, "bullmq_queue_size")} == {"api"}
    owners = {
        dict(k[1])["connection"]: dict(k[1])["database"]
        for k in every(samples, "bullmq_connection_info")
    }
    assert owners == {"api": "api", "worker": "api", "ztwin": "api"}
    names = [client["name"] for client in shared.client().client_list()]
    pollers = sorted(name for name in names if name and ":sync-" not in name)
    assert pollers == ["bullmq-exporter:api", "bullmq-exporter:worker"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_the_exporter(server: Server, tmp_path: Path, number: int) -> None:
    """Every line of the JSON log is an object, including the last one."""
    config = f'connections: {{api: {{url: "{server.url}"}}}}\nlog: {{format: json}}\n'
    with daemon(tmp_path, config) as running:
        # it is ready after a while also if Redis does not answer
        wait_for(lambda: '"connected"' in running.log, "a connection")
        assert running.stop(number) == 0
        lines = [json.loads(line) for line in running.log.splitlines()]
    of_redis = {"logger": "REDIS", "connection": "api"}
    for message in ("connected", "closed"):
        expected = of_redis | {"message": message}
        assert [line for line in lines if expected.items() <= line.items()], message
    assert lines[-1]["message"] == "stopped"
    assert not [line for line in lines if "traceback" in line]


def test_the_exporter_stops_while_redis_hangs(server: Server, tmp_path: Path) -> None:
    """Calls in progress are aborted; otherwise they would take a minute."""
    proxy = Proxy(server)
    config = (
        f"connections: {{api: {{url: '{proxy.url}', timeout_seconds: 60}}}}\n"
        "poll: {interval_seconds: 0.2}\n"
    )
    with daemon(tmp_path, config) as running:
        proxy.hang = True
        wait_for(lambda: proxy.dropped, "a call without a reply")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=LIMIT_SECONDS) == 0
    proxy.close()


def test_the_example_configuration_runs(server: Server) -> None:
    example = str(ROOT / "config.yaml")
    done = command("run", "--once", "--config", example, REDIS_URL=server.url)
    assert value(parse(done.stdout), "bullmq_up", connection="default") == 1


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An exporter that has polled one queue."""
    with valkey() as server:
        add_queues(server.client(), "mail")
        with daemon(tmp_path_factory.mktemp("http"), REDIS_URL=server.url) as found:
            wait_for(lambda: jobs(found.samples()), "queues on the page")
            wait_for(lambda: found.get("/health/redis/sync").status == 200, "a sync round")
            yield found


class TestHTTP:
    def test_metrics_in_each_format(self, running: Daemon) -> None:
        plain = running.get("/metrics")
        assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "content-encoding" not in plain.headers
        openmetrics = running.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert openmetrics.headers["content-type"].startswith(
            "application/openmetrics-text; version=1"
        )
        assert openmetrics.text.endswith("# EOF\n")
        packed = running.get("/metrics", Accept_Encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == "Accept, Accept-Encoding"

    def test_head_of_metrics(self, running: Daemon) -> None:
        answer = running.get("/metrics", method="HEAD")
        assert answer.status == 200
        assert answer.body == b""
        assert int(answer.headers["content-length"]) > 1000

    @pytest.mark.parametrize(
        ("path", "method", "status"),
        [("/metrics", "POST", 405), ("/nothing", "GET", 404), ("/metrics/", "GET", 404)],
    )
    def test_unknown_paths_and_methods(
        self, running: Daemon, path: str, method: str, status: int
    ) -> None:
        assert running.get(path, method=method).status == status

    def test_links_of_the_status_page_work(self, running: Daemon) -> None:
        page = running.get("/").text
        found = [unescape(part.split('"')[0]) for part in page.split('href="')[1:]]
        links = [link for link in found if not link.startswith("data:")]
        assert {"metrics", "health/redis", "health/queues", "?sort=failed"} <= set(links)
        assert all(running.get(f"/{link}").status == 200 for link in links)

    def test_health_has_every_detail(self, running: Daemon) -> None:
        answer = running.get("/health/redis").json
        assert answer["status"] == "up"
        api = answer["connections"]["default"]
        assert api["bullmq"]["bull"]["keys"] == {"meta": 1, "id": 1, "stalled-check": 0}
        assert api["bullmq"]["bull"]["jobs"]["waiting"] == 1
        assert api["metadata"]["run_id"]
        assert api["metadata"]["client_id"] > 0
        assert api["ping_seconds"] > 0
        assert api["memory"]["memory_used_bytes"] > 0
        assert api["collectors"]["queues"]["success"] is True
        assert api["last_error"] is None


def test_a_port_in_use_is_reported(server: Server) -> None:
    done = process("run", "--listen", f"127.0.0.1:{server.port}", REDIS_URL=server.url)
    assert done.returncode == 1
    assert "cannot listen on" in done.stderr
    assert "--listen" in done.stderr
    assert "Traceback" not in done.stderr

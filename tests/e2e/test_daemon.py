"""The daemon: Redis absent at its start, several connections, its pages, and how it stops."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from tests.integration.test_discovery import add
from tests.support.commands import ROOT
from tests.support.daemon import Daemon, command, daemon
from tests.support.pages import every, jobs, value
from tests.support.servers import Server, free_port, valkey
from tests.support.waiting import wait_for

FAST = """
poll: {{interval_seconds: 0.2, stale_after_seconds: 1}}
connections: {{api: {{url: "{url}", connect_timeout_seconds: 0.5, timeout_seconds: 0.5}}}}
"""


def up(running: Daemon) -> float | None:
    return value(running.samples(), "bullmq_up")


def test_redis_absent_at_start(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    # the exporter may have looked for queues in the new server before there is one
    config = FAST.format(url=url) + "queues: {discovery_interval_seconds: 1}\n"
    with daemon(tmp_path, config) as running:
        assert up(running) == 0
        assert running.get("/-/healthy").status == 200
        answer = running.get("/health/redis")
        assert answer.status == 503
        assert answer.json["connections"]["api"]["last_error"]["error"] == "connection"
        assert "REDIS connection-test failed connection=api" in running.log
        with valkey(port=port) as server:
            add(server.client(), "mail")
            wait_for(lambda: jobs(running.samples()), "recovery")
            assert up(running) == 1
            assert running.get("/health/redis").status == 200
        assert "REDIS connected connection=api" in running.log


def test_one_connection_down_leaves_the_other_alone(tmp_path: Path) -> None:
    with valkey() as server:
        add(server.client(), "mail")
        config = FAST.format(url=server.url) + (
            f'  worker: {{url: "redis://127.0.0.1:{free_port()}/0"}}\n'
        )
        config = config.replace("connections: {api:", "connections:\n  api:").replace("}}\n", "}\n")
        with daemon(tmp_path, config) as running:
            wait_for(lambda: jobs(running.samples()), "queues on the page")
            samples = running.samples()
            assert value(samples, "bullmq_up", connection="api") == 1
            assert value(samples, "bullmq_up", connection="worker") == 0
            assert running.get("/health/redis").json["status"] == "degraded"
            assert running.get("/health/redis?connection=api").status == 200
            assert running.get("/health/redis?connection=worker").status == 503
            assert running.get("/health/redis?connection=other").status == 404


def test_two_connections_to_one_keyspace_are_read_once(tmp_path: Path) -> None:
    with valkey() as server:  # one that no other test has clients on
        _read_once(server, tmp_path)


def _read_once(server: Server, folder: Path) -> None:
    add(server.client(), "mail")
    urls = {
        "REDIS_URL_API": server.url,
        "REDIS_URL_WORKER": server.url.replace("127.0.0.1", "localhost"),
        "REDIS_URL_ZTWIN": server.url,  # the same URL as the first, so the same client
    }
    with daemon(folder, **urls) as running:
        wait_for(lambda: jobs(running.samples()), "queues on the page")
        samples = running.samples()
        assert {dict(k[1])["connection"] for k in every(samples, "bullmq_queue_jobs")} == {"api"}
        owners = {
            dict(k[1])["connection"]: dict(k[1])["database"]
            for k in every(samples, "bullmq_connection_info")
        }
        assert owners == {"api": "api", "worker": "api", "ztwin": "api"}
        assert len(every(samples, "bullmq_up")) == 3
        names = [client["name"] for client in server.client().client_list()]
        pollers = sorted(name for name in names if name and ":sync-" not in name)
        assert pollers == ["bullmq-exporter:api", "bullmq-exporter:worker"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_it_within_two_seconds(server: Server, tmp_path: Path, number: int) -> None:
    with daemon(tmp_path, REDIS_URL=server.url) as running:
        start = time.monotonic()
        assert running.stop(number) == 0
        assert time.monotonic() - start < 2
        assert running.log.rstrip().endswith("stopped")
        assert "REDIS closed connection=default" in running.log
        assert "Traceback" not in running.log


def test_it_stops_within_two_seconds_while_redis_hangs(tmp_path: Path) -> None:
    with valkey() as server:
        config = FAST.format(url=server.url).replace("0.5", "30")
        _stop_while_hung(server, config, tmp_path)


def _stop_while_hung(server: Server, config: str, folder: Path) -> None:
    with daemon(folder, config) as running:
        server.signal(signal.SIGSTOP)
        time.sleep(0.5)
        start = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - start < 2
        server.signal(signal.SIGCONT)


def test_the_example_configuration_runs(server: Server, tmp_path: Path) -> None:
    example = (ROOT / "config.yaml").read_text().replace("0.0.0.0:9538", "127.0.0.1:9538")
    with daemon(tmp_path, example, REDIS_URL=server.url) as found:
        assert value(found.samples(), "bullmq_up", connection="default") == 1


def test_logs_as_json(server: Server, tmp_path: Path) -> None:
    config = f'connections: {{api: {{url: "{server.url}"}}}}\nlog: {{format: json}}\n'
    with daemon(tmp_path, config) as running:
        assert running.stop() == 0
        assert '"logger": "REDIS", "message": "connected", "connection": "api"' in running.log


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An exporter that has seen one queue."""
    with valkey() as server:
        add(server.client(), "mail")
        with daemon(tmp_path_factory.mktemp("http"), REDIS_URL=server.url) as found:
            wait_for(lambda: jobs(found.samples()), "queues on the page")
            wait_for(lambda: found.get("/health/redis/sync").status == 200, "a sync round")
            yield found


class TestHTTP:
    def test_metrics_in_each_format(self, running: Daemon) -> None:
        plain = running.get("/metrics")
        assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "content-encoding" not in plain.headers
        wanted = running.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert wanted.headers["content-type"].startswith("application/openmetrics-text; version=1")
        assert wanted.text.endswith("# EOF\n")
        packed = running.get("/metrics", Accept_Encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == "Accept, Accept-Encoding"

    def test_head(self, running: Daemon) -> None:
        answer = running.get("/metrics", method="HEAD")
        assert answer.status == 200
        assert answer.body == b""
        assert int(answer.headers["content-length"]) > 1000

    @pytest.mark.parametrize(
        ("path", "method", "status"),
        [("/metrics", "POST", 405), ("/nothing", "GET", 404), ("/metrics/", "GET", 404)],
    )
    def test_what_there_is_not(self, running: Daemon, path: str, method: str, status: int) -> None:
        assert running.get(path, method=method).status == status

    def test_the_status_page_links_what_works(self, running: Daemon) -> None:
        page = running.get("/").text
        found = [unescape(part.split('"')[0]) for part in page.split('href="')[1:]]
        links = [link for link in found if not link.startswith("data:")]
        assert {"metrics", "health/redis", "health/queues", "?sort=failed"} <= set(links)
        assert all(running.get(f"/{link}").status == 200 for link in links)

    def test_health_tells_all(self, running: Daemon) -> None:
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


def test_a_taken_port_is_told(server: Server) -> None:
    done = command("run", "--listen", f"127.0.0.1:{server.port}", REDIS_URL=server.url)
    assert done.returncode == 1
    assert "cannot listen on" in done.stderr
    assert "--listen" in done.stderr
    assert "Traceback" not in done.stderr

"""The exporter on a cluster of Valkey 9, which has databases, with live BullMQ.

The tests of tests/integration have a cluster of Redis.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.acl import published_acls
from tests.support.actors import Actors, part
from tests.support.cluster import Cluster, valkey_cluster
from tests.support.command import command
from tests.support.daemon import Daemon, daemon
from tests.support.pages import every, jobs, value
from tests.support.redis_data import add_queues
from tests.support.waiting import wait_for

COMPLETED = "bullmq_queue_jobs_completed_total"
WORKERS = "bullmq_queue_workers"


@pytest.fixture(scope="module")
def _nodes() -> Iterator[Cluster]:
    with valkey_cluster() as found:
        yield found


def config(nodes: Cluster, prefixes: str = "[bull]") -> str:
    """Two connections to the same cluster through different nodes."""
    return f"""
connections:
  api: {{url: "{nodes.servers[0].url}", cluster: true}}
  worker: {{url: "{nodes.servers[1].url}", cluster: true}}
queues: {{prefixes: {prefixes}, discovery_interval_seconds: 0.5}}
poll: {{interval_seconds: 0.25}}
sync: {{interval_seconds: 1}}
"""


def acl(nodes: Cluster, *rules: str) -> None:
    for server in nodes.servers:
        server.client().execute_command("ACL", "SETUSER", "monitor", "reset", "on", ">pw", *rules)


def monitor_config(nodes: Cluster) -> str:
    url = nodes.url.replace("//", "//monitor:pw@")
    return f'connections: {{a: {{url: "{url}", cluster: true}}}}'


def completed(running: Daemon) -> dict[str, float]:
    found = every(running.samples(), COMPLETED)
    return {dict(labels)["queue"]: count for (_, labels), count in found.items()}


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_live_queues_under_two_tags(
    nodes: Cluster, act: Actors, tmp_path: Path, library: str
) -> None:
    of_library = {"library": library, "port": nodes.servers[0].port}
    mail = {"queue": "mail", "prefix": "{bull}", "cluster": True}
    reports = {"queue": "{reports}", "cluster": True}
    with daemon(tmp_path, config(nodes, '["{bull}", "bull"]')) as running:
        workers = [part("worker", **mail, concurrency=2), *[part("worker", **reports)] * 2]
        act.play(*workers, **of_library)
        wait_for(lambda: sum(every(running.samples(), WORKERS).values()) == 3, "all workers")
        producers = [part("producer", **mail, count=20), part("producer", **reports, count=10)]
        act.play(*producers, **of_library)
        done = {"mail": 20, "{reports}": 10}
        wait_for(lambda: completed(running) == done, "every job is counted")
        samples = running.samples()
        assert value(samples, WORKERS, queue="mail") == 1
        assert value(samples, WORKERS, queue="{reports}") == 2
        assert not every(samples, "bullmq_queue_blocked")
        assert nodes.master_of("{bull}") is not nodes.master_of("{reports}")


def test_a_database_of_a_cluster(nodes: Cluster, act: Actors, tmp_path: Path) -> None:
    """Jobs and workers of one database are not those of another, whose queue has the same name."""
    master = nodes.master_of("{bull}")
    url = f"redis://127.0.0.1:{nodes.servers[0].port}/1"
    text = f"""
connections: {{other: {{url: "{nodes.url}", cluster: true}}, ours: {{url: "{url}", cluster: true}}}}
queues: {{prefixes: ["{{bull}}"], discovery_interval_seconds: 0.5}}
poll: {{interval_seconds: 0.25}}
sync: {{enabled: false}}
"""
    mail = {"queue": "mail", "prefix": "{bull}"}
    with daemon(tmp_path, text) as running:
        act.play(
            *[part("worker", **mail, db=1)] * 2,
            part("producer", **mail, count=1),
            port=master.port,
        )
        wait_for(lambda: len(every(running.samples(), WORKERS)) == 2, "the queue of each")
        act.play(part("producer", **mail, db=1, count=20), port=master.port)
        wait_for(lambda: value(running.samples(), COMPLETED, connection="ours") == 20, "20 jobs")
        samples = running.samples()
        assert value(samples, WORKERS, connection="ours") == 2
        assert value(samples, WORKERS, connection="other") == 0
        assert value(samples, COMPLETED, connection="other") == 0
        waiting = {"connection": "other", "state": "waiting"}
        assert value(samples, "bullmq_queue_size", **waiting) == 1


def test_one_cluster_through_two_nodes(nodes: Cluster, tmp_path: Path) -> None:
    add_queues(nodes.client(), "{a}", "{b}", "{c}")
    with daemon(tmp_path, config(nodes)) as running:
        wait_for(lambda: len(jobs(running.samples())) == 3 * 7, "each queue once")
        samples = running.samples()
        names = {dict(key[1])["connection"] for key in every(samples, "bullmq_queue_size")}
        assert names == {"api"}
        assert value(samples, "bullmq_connection_info", connection="worker", database="api") == 1
        wait_for(lambda: running.get("/health/redis/sync").status == 200, "sync passes")
        health = running.get("/health/redis").json["connections"]["worker"]
        assert len(health["metadata"]["masters"]) == 3


def test_jobs_are_counted_during_a_failover(nodes: Cluster, act: Actors, tmp_path: Path) -> None:
    live = {"queue": "{reports}", "cluster": True}
    with daemon(tmp_path, config(nodes)) as running:
        parts = part("worker", **live), part("producer", **live, every=20)
        act.play(*parts, port=nodes.servers[0].port)
        wait_for(lambda: completed(running).get("{reports}", 0) > 20, "jobs are counted")
        master = nodes.master_of("{reports}")
        nodes.fail_over_on_demand(master)
        before = completed(running)["{reports}"]
        wait_for(lambda: completed(running).get("{reports}", 0) > before + 20, "jobs continue")
        assert nodes.master_of("{reports}") is not master
        assert value(running.samples(), "bullmq_up", connection="api") == 1
        assert value(running.samples(), "bullmq_queue_events_lost_total", queue="{reports}") == 0


def test_check_of_a_cluster(nodes: Cluster, tmp_path: Path) -> None:
    add_queues(nodes.client(), "{a}", "{b}", "{c}")
    file = tmp_path / "config.yaml"
    file.write_text(config(nodes))
    done = command("check", "--config", str(file))
    assert done.returncode == 0, done.stdout
    assert "masters 127.0.0.1:" in done.stdout
    assert "3 found" in done.stdout
    assert "every connection sees what the others write" in done.stdout

    done = command("check", REDIS_URL=nodes.url)
    cause = "this is one node of a cluster; set cluster: true to read the whole cluster"
    assert done.stdout.splitlines()[-1].startswith(f"NOT OK: default fails at identity: {cause}")
    done = command("queues", "--once", REDIS_URL=nodes.url)
    assert f"  {cause}" in done.stdout.splitlines()


def test_the_published_acls_are_sufficient(nodes: Cluster, tmp_path: Path) -> None:
    acl(nodes, *published_acls()[0])
    add_queues(nodes.client(), "{a}", "{b}", "{c}")
    with daemon(tmp_path, monitor_config(nodes)) as running:
        wait_for(lambda: len(jobs(running.samples())) == 3 * 7, "the queues")
        wait_for(lambda: running.get("/health/redis/sync").status == 200, "sync passes")
        errors = every(running.samples(), "bullmq_exporter_collector_errors_total")
        assert set(errors.values()) == {0}
        warnings = [line for line in running.log.splitlines() if " WARNING " in line]
        assert all("secret readable by all users" in line for line in warnings)
    done = command("check", "--config", str(tmp_path / "config.yaml"))
    assert "commands are allowed" in done.stdout


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ("asking", "asking is refused; missing: queues whose slot is migrating"),
        (
            "cluster|slots",
            "NOT OK: a fails at login: permission: CLUSTER SLOTS is required but was refused",
        ),
    ],
)
def test_refused_commands_and_their_cost(
    nodes: Cluster, tmp_path: Path, refused: str, message: str
) -> None:
    acl(nodes, *published_acls()[1], f"-{refused}")
    file = tmp_path / "config.yaml"
    file.write_text(monitor_config(nodes))
    assert message in command("check", "--config", str(file)).stdout

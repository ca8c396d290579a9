"""Fifty connections in one process: a dead one and a slow one hold up nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_discovery import add
from tests.support.daemon import daemon
from tests.support.pages import Samples, every
from tests.support.proxy import Proxy
from tests.support.servers import Server, free_port, valkey
from tests.support.waiting import wait_for

CONNECTIONS = 50
INTERVAL = 0.5
POLLS = 8
DEAD, HUNG, SLOW = "dead", "hung", "slow"


@pytest.fixture
def big_server() -> Iterator[Server]:
    with valkey("--databases", str(CONNECTIONS)) as found:
        for number in range(CONNECTIONS):
            add(found.client(db=number), "mail")
        yield found


@pytest.fixture
def proxies(big_server: Server) -> Iterator[tuple[Proxy, Proxy]]:
    found = (Proxy(big_server), Proxy(big_server))
    yield found
    for proxy in found:
        proxy.close()


def polls(samples: Samples) -> dict[str, float]:
    """How often each connection was pinged, which each poll does once."""
    found = every(samples, "bullmq_connection_ping_seconds_count")
    return {dict(labels)["connection"]: count for (_, labels), count in found.items()}


def test_the_others_stay_on_time(
    big_server: Server, proxies: tuple[Proxy, Proxy], tmp_path: Path
) -> None:
    hung, slow = proxies
    hung.hang = True
    healthy = {f"db{number}" for number in range(CONNECTIONS - 3)}
    urls = {name: big_server.url.replace("/0", name.replace("db", "/")) for name in healthy}
    urls |= {
        DEAD: f"redis://127.0.0.1:{free_port()}/0",
        HUNG: hung.url,
        SLOW: slow.url.replace("/0", f"/{CONNECTIONS - 1}"),
    }
    lines = [f'  {name}: {{url: "{url}", timeout_seconds: 1}}' for name, url in urls.items()]
    config = (
        "connections:\n" + "\n".join(lines) + f"\npoll: {{interval_seconds: {INTERVAL}}}\n"
        "sync: {enabled: false}\n"
    )
    with daemon(tmp_path, config) as running:
        wait_for(lambda: jobs_of(running.samples()) == {*healthy, SLOW}, "every database")
        slow.delay = 0.4
        before = polls(running.samples())

        def done(name: str, samples: Samples) -> float:
            return polls(samples)[name] - before[name]

        first = "db0"
        samples = wait_for(
            lambda: (s := running.samples()) and done(first, s) >= POLLS and s, "some polls"
        )
        counts = {name: done(name, samples) for name in healthy}
        # in the time of eight polls, each has made about as many
        assert min(counts.values()) >= POLLS - 2, counts
        assert max(counts.values()) <= POLLS + 2, counts
        assert done(SLOW, samples) < POLLS - 2
        up = {dict(k[1])["connection"]: v for k, v in every(samples, "bullmq_up").items()}
        assert {name for name, value in up.items() if not value} == {DEAD, HUNG}
        answer = running.get("/metrics")
        assert answer.status == 200
        assert answer.seconds < 1


def jobs_of(samples: Samples) -> set[str]:
    found = every(samples, "bullmq_queue_jobs")
    return {dict(labels)["connection"] for _, labels in found}

"""Fifty connections in one process: dead and slow ones do not delay the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import daemon
from tests.support.pages import Samples, every
from tests.support.polls import polls, wait_for_polls
from tests.support.proxy import Proxy
from tests.support.redis_data import add_queues
from tests.support.servers import Server, free_port, valkey
from tests.support.waiting import wait_for

CONNECTIONS = 50
POLLS = 8
DEAD, HUNG, SLOW = "dead", "hung", "slow"


@pytest.fixture
def big_server() -> Iterator[Server]:
    with valkey("--databases", str(CONNECTIONS)) as found:
        for number in range(CONNECTIONS):
            add_queues(found.client(db=number), "mail")
        yield found


@pytest.fixture
def proxies(big_server: Server) -> Iterator[tuple[Proxy, Proxy]]:
    found = (Proxy(big_server), Proxy(big_server))
    yield found
    for proxy in found:
        proxy.close()


def test_other_connections_are_polled_as_usual(
    big_server: Server, proxies: tuple[Proxy, Proxy], tmp_path: Path
) -> None:
    """While one call waits for a reply, each of the others completes its polls."""
    hung, slow = proxies
    urls = {f"db{n}": big_server.url.replace("/0", f"/{n}") for n in range(CONNECTIONS - 3)}
    healthy = set(urls)
    urls |= {
        DEAD: f"redis://127.0.0.1:{free_port()}/0",
        HUNG: hung.url.replace("/0", f"/{CONNECTIONS - 2}"),
        SLOW: slow.url.replace("/0", f"/{CONNECTIONS - 1}"),
    }
    lines = [f'  {name}: {{url: "{url}", timeout_seconds: 60}}' for name, url in urls.items()]
    config = (
        "connections:\n" + "\n".join(lines) + "\npoll: {interval_seconds: 0.5}\n"
        "sync: {enabled: false}\n"
    )
    with daemon(tmp_path, config) as running:
        wait_for(lambda: jobs_of(running.samples()) == {*healthy, HUNG, SLOW}, "every database")
        hung.hang, slow.delay = True, 0.4
        wait_for(lambda: hung.dropped, "a call without a reply")
        # from a page that was rendered after that
        wait_for_polls(running, "db0")
        before = polls(running)

        def done() -> dict[str, int] | None:
            """Polls by connection, once every healthy one has completed some."""
            counts = {name: count - before[name] for name, count in polls(running).items()}
            return counts if min(counts[name] for name in healthy) >= POLLS else None

        counts = wait_for(done, "some polls of each")
        # the PING before that call counts once the poll has failed
        assert counts[HUNG] <= 1
        assert counts[SLOW] < max(counts.values())
        samples = running.samples()
        up = {dict(k[1])["connection"]: v for k, v in every(samples, "bullmq_up").items()}
        # the hung one is down only once its timeout of a minute is over
        assert {name for name, value in up.items() if not value} - {HUNG} == {DEAD}


def jobs_of(samples: Samples) -> set[str]:
    found = every(samples, "bullmq_queue_size")
    return {dict(labels)["connection"] for _, labels in found}

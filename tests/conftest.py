"""Shared servers, the order of the suite, and the summary of skipped tests."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.cluster import Cluster, redis_cluster
from tests.support.requirements import fetched
from tests.support.servers import (
    NEWEST_REDIS,
    OLDEST_REDIS,
    FakeServer,
    Server,
    redis_server,
    valkey,
)

# nothing that is imported or collected is garbage, and it would be traversed again and again
gc.disable()

# the same inputs on every machine and in every run, without a time limit
settings.register_profile(
    "suite",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")

# otherwise every process that a test starts would compile all of its imports again
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

for _name in [name for name in os.environ if name.startswith("REDIS_URL")]:
    del os.environ[_name]


@pytest.fixture(scope="session")
def _valkey() -> Iterator[Server]:
    with valkey() as server:
        yield server


@pytest.fixture(scope="session")
def _redis() -> Iterator[Server]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def _oldest_redis() -> Iterator[Server]:
    with redis_server(program=OLDEST_REDIS) as server:
        yield server


@pytest.fixture(scope="session")
def _newest_redis() -> Iterator[Server]:
    with redis_server(program=NEWEST_REDIS) as server:
        yield server


@pytest.fixture(scope="session")
def _fake() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.close()


@pytest.fixture
def server(_valkey: Server) -> Server:
    """An empty Valkey."""
    _valkey.client().flushall()
    return _valkey


@pytest.fixture
def fake_server(_fake: FakeServer) -> FakeServer:
    """An empty fakeredis, which supports less than a real server."""
    _fake.client().flushall()
    return _fake


@pytest.fixture(params=["valkey", "newest_redis", "oldest_redis"])
def real_server(request: pytest.FixtureRequest) -> Server:
    """An empty Valkey, the newest Redis, and Redis 6.2; `any_server` has Redis 7.0."""
    found: Server = request.getfixturevalue(f"_{request.param}")
    found.client().flushall()
    return found


@pytest.fixture(params=["valkey", "newest_redis"])
def newest_server(request: pytest.FixtureRequest) -> Server:
    """An empty Valkey and the newest Redis."""
    found: Server = request.getfixturevalue(f"_{request.param}")
    found.client().flushall()
    return found


@pytest.fixture(params=["valkey", "redis"])
def redis7_server(request: pytest.FixtureRequest) -> Server:
    """An empty Valkey and Redis 7.0: both know what Redis 7 does and Redis 6.2 does not."""
    found: Server = request.getfixturevalue(f"_{request.param}")
    found.client().flushall()
    return found


@pytest.fixture(params=["fake", "valkey", "redis"])
def any_server(request: pytest.FixtureRequest) -> Server | FakeServer:
    """An empty fakeredis, then Valkey, then Redis."""
    found: Server | FakeServer = request.getfixturevalue(f"_{request.param}")
    found.client().flushall()
    return found


@pytest.fixture(scope="session")
def _nodes() -> Iterator[Cluster]:
    with redis_cluster() as found:
        yield found


@pytest.fixture
def nodes(_nodes: Cluster) -> Cluster:
    """An empty cluster with all nodes running."""
    _nodes.restore()
    _nodes.client().flushall(target_nodes="primaries")
    return _nodes


# --- order of the suite, and summary of skipped tests ---------------------------------------------


def pytest_report_header() -> str:
    """The versions of the servers that `.ci/servers` fetched, which may be newer on another day."""
    return ", ".join(map(" ".join, fetched())) or "no further servers: bash .ci/servers"


_LAYERS = ("unit", "integration", "e2e", "faults", "fuzz")
"""Fast and general tests run first."""

_EARLY = {"test_stuck_jobs": "e2e", "test_sync": "integration"}
"""Modules that start before the others of a layer: they take so long that they would end alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests layer by layer, within a layer in pytest's order."""
    folder = Path(__file__).parent

    def place(item: pytest.Item) -> tuple[int, bool]:
        layer = _EARLY.get(item.path.stem)
        if layer is not None:
            return _LAYERS.index(layer), False
        return _LAYERS.index(item.path.relative_to(folder).parts[0]), True

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Collect garbage from now on, as seldom as the exporter does, and not in what tests keep."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the reasons of skipped tests, and how to install what is missing."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", ()))
    if not reasons:
        return
    count = sum(reasons.values())
    listed = "; ".join(f"{number} because {reason}" for reason, number in reasons.most_common())
    terminalreporter.write_line(f"{count} skipped: {listed}")
    terminalreporter.write_line(
        "To run them too: bash .ci/packages (as root; Debian or Ubuntu), bash .ci/servers (Debian) "
        "and npm ci --prefix tests/e2e/node"
    )


def _reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run in CI if a test was skipped: everything that tests need is installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

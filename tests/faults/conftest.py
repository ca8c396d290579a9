"""The idle exporter that faults are compared with, and the measurements of each fault.

`make faults` sets FAULT_REPORT and prints the figures at the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import astuple

import pytest

from tests.support.daemon import Daemon, daemon
from tests.support.fault_harness import config
from tests.support.fault_report import Measured, measured, table
from tests.support.redis_data import add_queues
from tests.support.servers import valkey


@pytest.fixture(scope="session")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An exporter configured like the tested ones, on a Redis without faults."""
    with valkey() as server:
        add_queues(server.client(), "still")
        with daemon(tmp_path_factory.mktemp("idle"), config(server.url)) as running:
            yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Keep the measurements of a test, whether it passes or fails."""
    measured.clear()
    try:
        yield
    finally:
        item.user_properties += [("fault", astuple(each)) for each in measured]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each fault if FAULT_REPORT is set."""
    if not os.environ.get("FAULT_REPORT"):
        return
    found = [
        Measured(*figures)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        for name, figures in report.user_properties
        if name == "fault"
    ]
    terminalreporter.section("faults")
    for line in table(found):
        terminalreporter.write_line(line)

"""The number of inputs for each fuzz target, and a report.

`make test` tries a few thousand inputs in all, the same ones each time; `make fuzz` sets
FUZZ_INPUTS and tries different ones each time. A target's share is in its `@fuzz(...)`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fuzzing.profile import LONG, TOTAL


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Count the inputs of a target, which Hypothesis passes to its inner function."""
    handle = getattr(getattr(item, "obj", None), "hypothesis", None)
    if handle is None:
        yield
        return
    inner, tried = handle.inner_test, 0

    @functools.wraps(inner)
    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal tried
        tried += 1
        return inner(*arguments, **named)

    handle.inner_test = counted
    start = time.monotonic()
    try:
        yield
    finally:
        handle.inner_test = inner
        item.user_properties.append(("fuzz", (tried, time.monotonic() - start)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each target in a long run."""
    if not LONG:
        return
    found = [
        (report.nodeid.rpartition("/")[2], *value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        for key, value in report.user_properties
        if key == "fuzz"
    ]
    terminalreporter.section("fuzzing")
    for name, tried, seconds in found:
        terminalreporter.write_line(f"{tried:>8,} inputs {seconds:>7.1f} s  {name}")
    total = sum(tried for _, tried, _ in found)
    seconds = sum(seconds for *_, seconds in found)
    terminalreporter.write_line(f"{total:>8,} inputs {seconds:>7.1f} s  in all, of {TOTAL:,}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a long run that tried fewer inputs than requested."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not LONG or reporter is None or session.config.option.keyword:
        return
    tried = sum(
        value[0]
        for report in reporter.stats.get("passed", ())
        for key, value in report.user_properties
        if key == "fuzz"
    )
    if tried < TOTAL:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

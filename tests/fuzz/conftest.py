"""How many inputs each target gets, and what became of them.

`make test` gives all targets together a few thousand, always the same ones; `make fuzz` sets
FUZZ_INPUTS, and tries others each time. A target's share is in its `@fuzz(...)`.
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
    """Counts the inputs of a target, which hypothesis gives to its inner function."""
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
    """A line for each target, where this is more than a short run."""
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
    """Fewer inputs than were asked for are a failed run."""
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

"""`make bench` completes with small numbers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.requirements import require
from tests.support.waiting import LIMIT_SECONDS

pytestmark = pytest.mark.e2e


def test_a_small_run_prints_all_targets() -> None:
    for program in ("redis-server", "chromium"):
        require(program)
    small = {
        "queues": 100,
        "rounds": 1,
        "noise": 1000,
        "events": 4000,
        "series": 2000,
        "seconds": 1,
    }
    options = [f"--{name}={value}" for name, value in small.items()]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    for row in (
        "whole poll: client CPU",
        "every queue changed",
        "naming jobs",
        "longest XREAD",
        "resident memory",
        "first paint",
    ):
        assert row in done.stdout
    assert "of 27 targets met" in done.stdout

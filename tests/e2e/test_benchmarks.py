"""`make bench` runs to its end with small numbers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.requirements import require

pytestmark = pytest.mark.e2e


def test_a_small_run_prints_the_whole_table() -> None:
    require("redis-server")
    small = ["--queues", "100", "--rounds", "1", "--noise", "1000", "--seconds", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *small],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    for row in (
        "whole poll: client CPU",
        "every queue changed",
        "longest XREAD",
        "resident memory",
    ):
        assert row in done.stdout
    assert "of 22 targets met" in done.stdout

"""`make bench` completes with small numbers."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from benchmarks.processes import INSTALL_HINT, NODE_MODULES
from tests.support.requirements import require
from tests.support.waiting import LIMIT_SECONDS

pytestmark = pytest.mark.e2e


def bench(*sizes: str, **small: float) -> str:
    """What a run with these numbers prints."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in small.items()]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options, *sizes],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loads_print_all_rows() -> None:
    require("redis-server")
    printed = bench("--only-loads", "--sizes", "20", rounds=1, interval=0.2)
    for row in (
        "at rest: CPU of the process",
        "blocked: Redis CPU",
        "moving: resident memory",
        "a redis-py pipeline",
        "by command: ",
    ):
        assert row in printed
    peer = shutil.which("node") is not None and (NODE_MODULES / "bullmq").is_dir()
    assert ("the process, and BullMQ's own exporter" in printed) is peer
    assert (f"is not installed: {INSTALL_HINT}" in printed) is not peer


def test_the_parts_print_all_targets() -> None:
    for program in ("redis-server", "chromium"):
        require(program)
    small = {
        "queues": 100,
        "rounds": 1,
        "noise": 1000,
        "events": 4000,
        "series": 2000,
        "seconds": 0.4,
    }
    printed = bench("--sizes", **small)
    for row in (
        "whole poll: client CPU",
        "naming jobs",
        "longest XREAD",
        "first paint",
    ):
        assert row in printed
    assert "of 30 targets met" in printed

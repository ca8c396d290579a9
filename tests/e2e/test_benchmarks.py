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
        "sizes": 20,
        "interval": 0.2,
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
        "at rest: CPU of the process",
        "blocked: Redis CPU",
        "moving: resident memory",
        "a redis-py pipeline",
        "by command: ",
        "naming jobs",
        "longest XREAD",
        "first paint",
    ):
        assert row in done.stdout
    peer = shutil.which("node") is not None and (NODE_MODULES / "bullmq").is_dir()
    assert ("the process, and BullMQ's own exporter" in done.stdout) is peer
    assert (f"is not installed: {INSTALL_HINT}" in done.stdout) is not peer
    assert "of 30 targets met" in done.stdout

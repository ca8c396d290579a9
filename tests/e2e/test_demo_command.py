"""`bullmq-exporter demo` as a command: its help, its errors, and a signal during its start."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from exporter.demo.prometheus import local_prometheus
from exporter.demo.scenarios import SCENARIOS
from tests.support.command import command
from tests.support.demo import start_demo
from tests.support.prometheus import Prometheus
from tests.support.requirements import require
from tests.support.waiting import LIMIT_SECONDS, wait_for


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    demo = start_demo("healthy", tmp_path)
    pids = wait_for(lambda: demo.children, "a first child")
    demo.process.send_signal(number)
    demo.process.wait(timeout=LIMIT_SECONDS)
    demo.left_nothing(pids)


def test_help_lists_every_scenario_with_a_line() -> None:
    text = command("demo", "--help").stdout
    for scenario in SCENARIOS.values():
        assert f"  {scenario.name} " in text
        assert f" {scenario.summary}\n" in text


def test_an_unknown_scenario_lists_the_available_ones() -> None:
    ended = command("demo", "--scenario", "chaos")
    assert ended.returncode == 2
    assert "chaos" in ended.stderr
    assert "'isolation'" in ended.stderr


def test_missing_prometheus_is_an_error() -> None:
    done = command("demo", "--prometheus", PATH="/nowhere")
    assert done.returncode == 1
    assert "prometheus is not installed; install it" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_alertmanager_is_mentioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus starts without it, and the demo says what to install."""
    (tmp_path / "prometheus").symlink_to(require("prometheus"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with local_prometheus({"bullmq": "127.0.0.1:1"}) as pages:
        address = pages["Prometheus"].removeprefix("http://127.0.0.1:")
        prom = Prometheus(int(address.removesuffix("/alerts")))
        assert prom.get("alertmanagers") == {"activeAlertmanagers": [], "droppedAlertmanagers": []}
        assert pages["Alertmanager"].startswith("not installed; install it")

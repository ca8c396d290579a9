"""The command of `make demo` in tests: scenarios in parallel, queried over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.daemon import Daemon, environment
from tests.support.pages import Samples, value
from tests.support.prometheus import Prometheus
from tests.support.servers import free_port
from tests.support.waiting import LIMIT_SECONDS, wait_for


@dataclass
class Demo(Daemon):
    """A running demo in its own session, as in a terminal."""

    temporary: Path = field(kw_only=True)
    job: str = field(kw_only=True, default="bullmq")
    """Its job in Prometheus."""
    pages: dict[str, str] = field(kw_only=True, default_factory=dict)
    """The URLs of a Prometheus and an Alertmanager that it does not run itself, by name."""

    def until(self, condition: Callable[[Samples], bool], what: str) -> Samples:
        """Wait until the condition holds. Returns the samples for which it does."""

        def look() -> Samples | None:
            assert self.process.poll() is None, self.log
            try:
                samples = self.samples()
            except OSError:
                return None
            return samples if condition(samples) else None

        found: Samples = wait_for(look, f"{what}: {self.log_file}")
        return found

    def next_poll(self) -> Samples:
        """The samples of the next poll of the queues."""
        before = _polled(self.samples())
        return self.until(lambda samples: _polled(samples) != before, "another poll")

    @property
    def has_started(self) -> bool:
        """Whether it has printed the addresses of its parts."""
        assert self.process.poll() is None, self.log
        return "Ctrl-C" in self.log

    @property
    def prometheus(self) -> Prometheus:
        """Its Prometheus; requires `--prometheus` or `pages`."""
        return Prometheus(self._port_of("Prometheus"))

    def alerts(self) -> list[dict[str, Any]]:
        """Its firing alerts in Alertmanager."""
        found: list[dict[str, Any]] = self._alertmanager("alerts")
        return [alert for alert in found if alert["labels"]["job"] == self.job]

    @property
    def alertmanager_config(self) -> dict[str, Any]:
        """The configuration that its Alertmanager has loaded, including defaults."""
        found: dict[str, Any] = yaml.safe_load(self._alertmanager("status")["config"]["original"])
        return found

    def _alertmanager(self, what: str) -> Any:
        """A response of its Alertmanager."""
        assert self.process.poll() is None, self.log
        address = f"http://127.0.0.1:{self._port_of('Alertmanager')}/api/v2/{what}"
        with urllib.request.urlopen(address) as answer:
            return json.load(answer)

    def _port_of(self, name: str) -> int:
        """The port of this part, in `pages` or as it prints it."""
        pages = "".join(f"{known}: {url}\n" for known, url in self.pages.items())
        match = re.search(rf"{name}: http://127\.0\.0\.1:(\d+)/", pages or self.log)
        assert match, pages or self.log
        return int(match[1])

    @property
    def children(self) -> list[int]:
        # a child is listed under the thread that started it
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(child) for thread in threads for child in thread.read_text().split()]

    def ends_cleanly(self, number: int, *, children: int) -> None:
        """Stop it: Ctrl-C reaches every process in the terminal, SIGTERM only the demo."""
        pids = self.children
        assert len(pids) == children
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        assert self.process.wait(timeout=LIMIT_SECONDS) == 0, self.log
        self.left_nothing(pids)

    def left_nothing(self, pids: list[int]) -> None:
        """Assert that no process, temporary folder or error message is left."""
        assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
        assert list(self.temporary.iterdir()) == []
        assert "Traceback" not in self.log
        assert "Warning" not in self.log


def start_demo(scenario: str, folder: Path, *options: str) -> Demo:
    """Start a scenario without waiting."""
    port = free_port()
    temporary = folder / "tmp"
    temporary.mkdir()
    arguments = ["--scenario", scenario, "--listen", f"127.0.0.1:{port}", *options]
    with (folder / "log").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "exporter", "demo", *arguments],
            env=environment({"TMPDIR": str(temporary)}),
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    return Demo(process, port, folder / "log", temporary=temporary)


@contextlib.contextmanager
def running_demos(names: Iterable[str], folder: Path, *options: str) -> Iterator[dict[str, Demo]]:
    """Scenarios by name, in parallel; started one after the other, which is faster."""
    started: dict[str, Demo] = {}
    try:
        for name in names:
            own = folder / name
            own.mkdir()
            demo = started[name] = start_demo(name, own, *options)
            wait_for(lambda d=demo: d.has_started, f"{name} has started: {demo.log_file}")
        yield started
    finally:
        for demo in started.values():
            if demo.process.poll() is None:
                demo.process.terminate()
        for demo in started.values():
            demo.process.wait()


def _polled(samples: Samples) -> float | None:
    return value(
        samples, "bullmq_exporter_collector_last_success_timestamp_seconds", collector="queues"
    )

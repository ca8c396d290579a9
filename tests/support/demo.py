"""`make demo`'s command as tests run it: scenarios side by side, asked over HTTP."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.daemon import Daemon, environment
from tests.support.pages import Samples, value
from tests.support.servers import free_port
from tests.support.waiting import wait_for


@dataclass
class Demo(Daemon):
    """A running demo, in a session of its own as in a terminal."""

    temporary: Path = field(kw_only=True)

    def until(self, condition: Callable[[Samples], bool], what: str) -> Samples:
        """The first page for which the condition holds."""

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
        """The page of the next poll of the queues."""
        before = _polled(self.samples())
        return self.until(lambda samples: _polled(samples) != before, "another poll")

    @property
    def children(self) -> list[int]:
        # a child is listed under the thread that started it
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(child) for thread in threads for child in thread.read_text().split()]

    def ends_cleanly(self, number: int, *, children: int) -> None:
        """Stop it: Ctrl-C reaches every process in the terminal, SIGTERM the demo alone."""
        pids = self.children
        assert len(pids) == children
        start = time.monotonic()
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        assert self.process.wait(timeout=10) == 0, self.log
        assert time.monotonic() - start < 5
        self.left_nothing(pids)

    def left_nothing(self, pids: list[int]) -> None:
        """Neither these processes, nor a folder, nor a mess in the terminal."""
        assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
        assert list(self.temporary.iterdir()) == []
        assert "Traceback" not in self.log
        assert "Warning" not in self.log


def start_demo(scenario: str, folder: Path) -> Demo:
    """Start a scenario, without waiting for anything."""
    port = free_port()
    temporary = folder / "tmp"
    temporary.mkdir()
    arguments = ["--scenario", scenario, "--listen", f"127.0.0.1:{port}"]
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
def running_demos(names: Sequence[str], folder: Path) -> Iterator[dict[str, Demo]]:
    """Scenarios by name, all at once; a word behind a name tells two of one scenario apart."""
    started = {}
    try:
        for name in names:
            own = folder / name.replace(" ", "-")
            own.mkdir()
            started[name] = start_demo(name.split()[0], own)
        yield started
    finally:
        for demo in started.values():
            if demo.process.poll() is None:
                demo.process.terminate()
                demo.process.wait()


def _polled(samples: Samples) -> float | None:
    return value(
        samples, "bullmq_exporter_collector_last_success_timestamp_seconds", collector="queues"
    )

"""`make demo`'s command: live traffic to look at, and nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.support.daemon import Daemon, environment
from tests.support.pages import jobs
from tests.support.servers import free_port, wait_for


def test_the_demo_shows_live_queues_and_ends_cleanly(tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "exporter", "demo", "--listen", f"127.0.0.1:{port}"],
            env=environment({}),
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        demo = Daemon(process, port, log)

        def moving() -> bool:
            try:
                found = jobs(demo.samples())
            except OSError:
                return False
            done = [queue for (queue, state), n in found.items() if state == "completed" and n]
            return set(done) == {"emails", "images", "reports"}

        wait_for(moving, 40, "jobs completed in every queue")
        children = _children(process.pid)
        assert len(children) == 2  # Valkey and the traffic
        assert demo.stop(signal.SIGINT) == 0
        assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
        text = log.read_text()
        assert f"http://127.0.0.1:{port}/health/redis" in text
        assert "Traceback" not in text
        assert "Warning" not in text
    finally:
        process.kill()
        process.wait()


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]

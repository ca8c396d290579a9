"""Workers with the real BullMQ library, in place of worker services."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

from bullmq import Job, Worker

from exporter.demo.loads import Load
from exporter.demo.scenarios import Freeze, PoisonJob, Scenario

# Shorter than BullMQ's 30 s, so that effects show soon: a frozen worker's locks expire, and a
# worker of the Python port writes `stalled-check` only after its first check.
_LOCK: Final = {"lockDuration": 10_000, "stalledInterval": 5_000}
# the default would fail a job that stalls for the second time
_SHORT_LOCK: Final = {"lockDuration": 4_000, "stalledInterval": 1_500, "maxStalledCount": 1_000}


async def work(scenario: Scenario, process: str, url: str) -> None:
    """Process the jobs of this worker process until cancelled."""
    # an idle worker blocks for up to 10 s; redis-py's default of 5 s would close its connection
    times = _SHORT_LOCK if isinstance(scenario.fault, PoisonJob) else _LOCK
    options = {"connection": f"{url}?socket_timeout=30", **times}
    workers = {
        load.queue: Worker(
            load.queue,
            _processor(load),
            {**options, "name": f"{load.queue}-worker", "concurrency": load.concurrency},
        )
        for load in scenario.loads
        if load.worker == process
    }
    try:
        match scenario.fault:
            case Freeze(queue, after_seconds) if queue in workers:
                _freeze(workers[queue], after_seconds)
            case PoisonJob(queue, name) if queue in workers:
                _die_of(workers[queue], name)
        await asyncio.Event().wait()
    finally:
        await asyncio.gather(*(worker.close(force=True) for worker in workers.values()))


def _processor(load: Load) -> Callable[[Job, str], Awaitable[dict[str, bool]]]:
    """A processor that takes the load's time and fails as often as the job's data state."""

    async def process(job: Job, _: str) -> dict[str, bool]:
        await asyncio.sleep(random.expovariate(1 / load.work_seconds))
        if job.attemptsMade < job.data.get("failing", 0):
            raise RuntimeError("the card was declined")
        return {"ok": True}

    return process


def _die_of(worker: Worker, name: str) -> None:
    """Replace this process by a new one when a job of that name starts, as after a crash."""

    def on_active(job: Job, *_: object) -> None:
        if job.name == name:
            arguments = ["-m", "exporter.demo.traffic", *sys.argv[1:]]
            os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 # no shell is wanted

    worker.on("active", on_active)


def _freeze(worker: Worker, after_seconds: float) -> None:
    """Freeze this process at the first job that starts `after_seconds` after the first job."""
    starts: list[float] = []

    def on_active(*_: object) -> None:
        starts.append(time.monotonic())
        if starts[-1] - starts[0] >= after_seconds:
            # freeze at once, so that the job is still active
            os.kill(os.getpid(), signal.SIGSTOP)

    worker.on("active", on_active)

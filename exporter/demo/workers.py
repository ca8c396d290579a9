"""Workers of the real BullMQ library: what the demo's worker services would do."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final

from bullmq import Job, Worker

from exporter.demo.loads import Load
from exporter.demo.scenarios import Freeze, Scenario

# shorter than BullMQ's 30 s, since people watch: a frozen worker's locks expire sooner, and a
# worker of the Python port shows itself (`stalled-check`) only after its first check
_LOCK: Final = {"lockDuration": 10_000, "stalledInterval": 5_000}


async def work(scenario: Scenario, process: str, url: str) -> None:
    """Work on the queues of that worker process for ever."""
    # an idle worker blocks for up to 10 s; redis-py's 5 s would end its connection each time
    options = {"connection": f"{url}?socket_timeout=30", **_LOCK}
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
        if isinstance(scenario.fault, Freeze) and scenario.fault.queue in workers:
            _freeze(workers[scenario.fault.queue], scenario.fault.after_seconds)
        await asyncio.Event().wait()
    finally:
        await asyncio.gather(*(worker.close(force=True) for worker in workers.values()))


def _processor(load: Load) -> Callable[[Job, str], Awaitable[dict[str, bool]]]:
    """A processor that takes the load's time, and fails as often as the job says."""

    async def process(job: Job, _: str) -> dict[str, bool]:
        await asyncio.sleep(random.expovariate(1 / load.work_seconds))
        if job.attemptsMade < job.data.get("failing", 0):
            raise RuntimeError("the card was declined")
        return {"ok": True}

    return process


def _freeze(worker: Worker, after_seconds: float) -> None:
    """Freeze this process with the first job that starts so long after the worker's first."""
    began: list[float] = []

    def on_active(*_: object) -> None:
        began.append(time.monotonic())
        if began[-1] - began[0] >= after_seconds:
            # now, while the job is in flight: later it might have ended
            os.kill(os.getpid(), signal.SIGSTOP)

    worker.on("active", on_active)

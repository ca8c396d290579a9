"""Live traffic: producers and workers of the real BullMQ library on three queues.

`python -m exporter.demo.traffic URL` runs until SIGTERM or SIGINT.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import Awaitable, Callable

from bullmq import Job, Queue, Worker

from exporter.demo.loads import KEEP, QUEUES, Load


async def produce(url: str, name: str, load: Load) -> None:
    """Add jobs for ever."""
    queue = Queue(name, {"connection": url})
    try:
        while True:
            await queue.add(name.removesuffix("s"), {}, {**KEEP, **random.choice(load.options)})
            await asyncio.sleep(random.expovariate(1 / load.every_seconds))
    finally:
        await queue.close()


def processor(load: Load) -> Callable[[Job, str], Awaitable[dict[str, bool]]]:
    """A processor that takes the load's time and fails as often."""

    async def process(_: Job, __: str) -> dict[str, bool]:
        await asyncio.sleep(random.expovariate(1 / load.work_seconds))
        if random.random() < load.failing:
            raise RuntimeError("the printer is on fire")
        return {"ok": True}

    return process


async def run(url: str) -> None:
    """Produce and work until the task is cancelled."""
    workers = [
        Worker(name, processor(load), {"connection": url, "name": f"{name}-worker"})
        for name, load in QUEUES.items()
    ]
    try:
        async with asyncio.TaskGroup() as group:
            for name, load in QUEUES.items():
                group.create_task(produce(url, name, load))
    finally:
        for worker in workers:
            await worker.close(force=True)


def main() -> None:
    """Run until a signal comes."""

    async def until_stopped() -> None:
        task = asyncio.ensure_future(run(sys.argv[1]))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(until_stopped())


if __name__ == "__main__":
    main()

"""Traffic of the real BullMQ library that survives the faults of its Redis.

`python -m tests.soak.traffic PORT`: a queue of each kind, with its producers and workers, from the
first line of standard input to its end; then no more jobs are added, and workers go on until
SIGTERM. What was added is printed as JSON once that is known.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
import sys
from dataclasses import dataclass, field
from typing import Any

from bullmq import Job, Queue, Worker
from redis.exceptions import RedisError

QUEUES = ("mail", "reports", "gone")
_BACKOFF = {"attempts": 3, "backoff": {"type": "fixed", "delay": 200}}
_KINDS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "mail": (("plain", {}), ("plain", {}), ("flaky", _BACKOFF), ("later", {"delay": 500})),
    "reports": (("urgent", {"priority": 1}), ("plain", {"priority": 5}), ("fail", {"attempts": 2})),
    "gone": (("plain", {"removeOnComplete": True}),),
}
_EVERY_SECONDS = 0.2
_LOCK = {"lockDuration": 5000, "stalledInterval": 3000, "maxStalledCount": 100}


@dataclass
class Tally:
    """The counts of a queue's producer."""

    added: int = 0
    """Jobs that Redis has confirmed."""
    unconfirmed: int = 0
    """Jobs without a reply, which may have been added or not."""


@dataclass
class Producer:
    """Adds jobs of a queue's kinds in turn, also after errors."""

    name: str
    options: dict[str, Any]
    ending: asyncio.Event
    tally: Tally = field(default_factory=Tally)

    async def run(self) -> None:
        queue = Queue(self.name, self.options)
        for kind, options in itertools.cycle(_KINDS[self.name]):
            if self.ending.is_set():
                break
            await asyncio.sleep(random.expovariate(1 / _EVERY_SECONDS))
            try:
                await asyncio.wait_for(queue.add(kind, {}, options), 10)
                self.tally.added += 1
            except (RedisError, OSError, TimeoutError):
                self.tally.unconfirmed += 1
                await asyncio.sleep(0.5)
        await queue.close()


async def process(job: Job, _: str) -> str:
    """Process a job; its name decides whether it fails."""
    await asyncio.sleep(random.expovariate(1 / 0.02))
    last = job.attemptsMade + 1 >= job.attempts
    if job.name == "fail" or (job.name == "flaky" and not last):
        raise RuntimeError("as requested")
    return "done"


async def _create(name: str, options: dict[str, Any]) -> None:
    """Create a queue before the exporter starts, so that its counters start at the first job."""
    queue = Queue(name, options)
    job = await queue.add("first", {}, {"delay": 60_000})
    await job.remove()
    await queue.close()


async def main(port: str) -> None:
    """Run producers and workers of all queues."""
    options = {"connection": f"redis://127.0.0.1:{port}?socket_timeout=30"}
    ending, over = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    for name in QUEUES:
        await _create(name, options)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    producers = [Producer(name, options, ending) for name in QUEUES]
    workers = [Worker(name, process, options | _LOCK | {"concurrency": 4}) for name in QUEUES]
    adding = asyncio.gather(*(producer.run() for producer in producers))
    await loop.run_in_executor(None, sys.stdin.read)
    ending.set()
    await adding
    print(json.dumps({p.name: vars(p.tally) for p in producers}), flush=True)
    await over.wait()
    await asyncio.gather(*(worker.close() for worker in workers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

"""A queue with live work, and its own count of what was done.

`python -m tests.support.live PORT`: the queue `live` of Python's BullMQ, with a producer and a
worker, until its standard input ends; then, when the last job is done, the program ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from typing import Protocol

import redis
from bullmq import Job, Queue, Worker

from tests.support.servers import Server
from tests.support.waiting import LIMIT_SECONDS

QUEUE = "live"
_EVERY_SECONDS = 0.05


class Live(Protocol):
    """Work that continues from its start to its stop."""

    unconfirmed: int
    """Jobs of which Redis has not confirmed whether they were done."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """No more jobs; returns when the last is done."""

    @property
    def completed(self) -> int:
        """Jobs that are completed, as Redis has confirmed."""


def announce(client: redis.Redis) -> None:
    """The queue as a producer leaves it that has added nothing yet."""
    client.hset(f"bull:{QUEUE}:meta", mapping={"opts.maxLenEvents": 10000})


class RealWork:
    """Of Python's BullMQ, in a process of its own, straight to the server."""

    unconfirmed = 0

    def __init__(self, server: Server) -> None:
        self._server = server
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [sys.executable, "-m", "tests.support.live", str(self._server.port)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.communicate(timeout=LIMIT_SECONDS)

    @property
    def completed(self) -> int:
        return int(self._server.client().zcard(f"bull:{QUEUE}:completed"))


class Written:
    """Events as BullMQ writes them, by a thread that no fault of Redis can confuse.

    For faults at which a worker would stop, or work twice. A job's events are one transaction, so
    that all of them are counted or none is.
    """

    def __init__(self, server: Server, replicas: int = 0) -> None:
        self.server = server
        """Where the next job is written that is written over a new connection."""
        self.replicas = replicas
        """How many must confirm a job."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.completed = 0
        self.unconfirmed = 0
        """Jobs whose transaction failed by a fault, and may have been done or not."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        client, number = self._connect(), 0
        while not self._stop.wait(_EVERY_SECONDS):
            number += 1
            try:
                work(client, number)
                if self.replicas and client.wait(self.replicas, 500) < self.replicas:
                    raise redis.TimeoutError("not replicated")
            except redis.exceptions.ResponseError:
                client.connection_pool.disconnect()  # refused whole
                client = self._connect()
            except redis.RedisError:
                self.unconfirmed += 1
                client.connection_pool.disconnect()
                client = self._connect()
            else:
                self.completed += 1

    def _connect(self) -> redis.Redis:
        return self.server.client(socket_timeout=0.5, retry=None)


def work(client: redis.Redis, number: int) -> None:
    """Write the events of a job that is added, taken and completed, as one transaction."""
    stream = f"bull:{QUEUE}:events"
    with client.pipeline(transaction=True) as pipeline:
        pipeline.incr(f"bull:{QUEUE}:id")
        pipeline.hset(f"bull:{QUEUE}:meta", "opts.maxLenEvents", 10000)
        for event, more in (
            ("added", {"name": "task"}),
            ("waiting", {}),
            ("active", {"prev": "waiting"}),
            ("completed", {"returnvalue": "null", "prev": "active"}),
        ):
            pipeline.xadd(stream, {"event": event, "jobId": number} | more, maxlen=10000)
        pipeline.execute()


async def _main(port: str) -> None:
    options = {"connection": f"redis://127.0.0.1:{port}"}

    async def process(_: Job, __: str) -> None:
        await asyncio.sleep(0.005)

    queue = Queue(QUEUE, options)
    worker = Worker(QUEUE, process, options | {"concurrency": 2})
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    while not ended.done():
        await queue.add("task", {})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(ended), _EVERY_SECONDS)
    while sum((await queue.getJobCounts("waiting", "active")).values()):
        await asyncio.sleep(0.05)
    await worker.close()
    await queue.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))

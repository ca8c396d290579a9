"""A queue with live work, and the number of jobs that it has completed.

`python -m tests.support.live PORT`: the queue `live` with a producer and a worker of BullMQ for
Python, until its standard input ends and the last job is completed.
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
    """Work that runs from `start` to `stop`."""

    unconfirmed: int
    """Jobs that may have completed or not, because Redis has not confirmed them."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Add no more jobs. Returns when the last one is completed."""

    @property
    def completed(self) -> int:
        """Number of completed jobs that Redis has confirmed."""


def announce(client: redis.Redis) -> None:
    """Create the queue like a producer that has not added a job yet."""
    client.hset(f"bull:{QUEUE}:meta", mapping={"opts.maxLenEvents": 10000})


class RealWork:
    """Work of BullMQ for Python, in its own process, connected straight to the server."""

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
    """Events in BullMQ's format, written by a thread that survives every fault of Redis.

    For faults during which a worker would stop or process a job twice. A job's events are one
    transaction, so either all or none of them count.
    """

    def __init__(self, server: Server, replicas: int = 0) -> None:
        self.server = server
        """The server for the next new connection."""
        self.replicas = replicas
        """Number of replicas that must confirm a job."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.completed = 0
        self.unconfirmed = 0
        """Jobs whose transaction failed during a fault, and may have been written or not."""

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
                client.connection_pool.disconnect()  # refused as a whole
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
    """Write the events of a job that is added, started and completed, as one transaction."""
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

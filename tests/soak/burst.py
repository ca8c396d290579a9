"""`python -m tests.soak.burst PORT QUEUE JOBS`: a new queue whose first jobs are added at once."""

from __future__ import annotations

import asyncio
import sys

from bullmq import Queue, Worker


async def main(port: str, name: str, jobs: str) -> None:
    """Add the jobs, process all of them, and exit."""
    options = {"connection": f"redis://127.0.0.1:{port}"}
    queue = Queue(name, options)
    await queue.addBulk([{"name": "first", "data": {}, "opts": {}} for _ in range(int(jobs))])
    worker = Worker(name, _process, options | {"concurrency": 20})
    while (await queue.getJobCounts("completed"))["completed"] < int(jobs):
        await asyncio.sleep(0.1)
    await worker.close()
    await queue.close()


async def _process(_job: object, _token: str) -> str:
    return "done"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

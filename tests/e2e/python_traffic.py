"""Traffic of BullMQ for Python on one queue; prints its own counts.

`python -m tests.e2e.python_traffic PORT QUEUE`, like tests/e2e/node/traffic.mjs.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from bullmq import Job, Queue, Worker

OWN = {"added": 0, "started": 0, "completed": 0, "failed": 0, "retried": 0, "completedMs": 0.0}


async def process(job: Job, _: str) -> str:
    OWN["started"] += 1
    began = time.monotonic()
    await asyncio.sleep(0.02)
    last = job.attemptsMade + 1 >= job.attempts
    if job.name == "fail" or (job.name == "flaky" and not last):
        OWN["failed" if last else "retried"] += 1
        raise RuntimeError("as requested")
    OWN["completed"] += 1
    OWN["completedMs"] += (time.monotonic() - began) * 1000
    return "x" * 1000


async def main(port: str, name: str) -> None:
    options = {"connection": f"redis://127.0.0.1:{port}"}
    queue = Queue(name, options)
    OWN["added"] += 1
    await queue.add("plain", {})
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    worker = Worker(name, process, options | {"concurrency": 3})
    backoff = {"attempts": 3, "backoff": {"type": "fixed", "delay": 100}}
    jobs = [("plain", {})] * 20 + [("gone", {"removeOnComplete": True})] * 3
    jobs += [("flaky", backoff)] * 3 + [("fail", {"attempts": 2})] * 2
    jobs += [("later", {"delay": 200})] * 3 + [("urgent", {"priority": 1})] * 3
    for kind, chosen in jobs:
        OWN["added"] += 1
        await queue.add(kind, {}, chosen)
    while OWN["completed"] + OWN["failed"] < len(jobs) + 1:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    await worker.close()
    print(json.dumps(OWN), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Live queues of BullMQ for Python in every state; prints the library's own counts and waits.

`python -m tests.e2e.python_scenario PORT`, until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys

from bullmq import FlowProducer, Job, Queue, Worker


async def main(port: str) -> None:
    options = {"connection": f"redis://127.0.0.1:{port}"}
    release = asyncio.Event()

    async def process(job: Job, _: str) -> dict[str, bool]:
        if job.name == "fail":
            raise RuntimeError("as requested")
        if job.name == "hold":
            await release.wait()
        return {"ok": True}

    mail, busy, children = (Queue(name, options) for name in ("mail", "busy", "children"))
    worker = Worker("busy", process, options | {"concurrency": 1})
    for _ in range(4):
        await busy.add("done", {})
    for _ in range(3):
        await busy.add("fail", {})
    while (await busy.getJobCounts("completed", "failed")) != {"completed": 4, "failed": 3}:
        await asyncio.sleep(0.05)
    await busy.add("hold", {})
    while (await busy.getJobCounts("active"))["active"] != 1:
        await asyncio.sleep(0.05)
    for _ in range(5):
        await busy.add("later", {})
    for _ in range(6):
        await mail.add("plain", {})
    await mail.add("soon", {}, {"delay": 3_600_000})
    await mail.add("urgent", {}, {"priority": 2})
    flow = {"name": "parent", "queueName": "mail", "data": {}}
    child = {"name": "child", "queueName": "children", "data": {}}
    await FlowProducer(options).add(flow | {"children": [child]})

    counts = {queue.name: await queue.getJobCounts() for queue in (mail, busy, children)}
    print(json.dumps(counts), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    release.set()
    await worker.close(force=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

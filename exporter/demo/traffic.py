"""The main program of the producers' process and of the worker processes.

`python -m exporter.demo.traffic SCENARIO PART URL` runs until SIGTERM or SIGINT.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from exporter.demo.producers import produce
from exporter.demo.scenarios import PRODUCERS, SCENARIOS
from exporter.demo.workers import work


def main() -> None:
    """Run until a signal arrives."""
    name, part, url = sys.argv[1:]
    scenario = SCENARIOS[name]
    running = produce(scenario, url) if part == PRODUCERS else work(scenario, part, url)

    async def until_stopped() -> None:
        task = asyncio.ensure_future(running)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(until_stopped())


if __name__ == "__main__":
    main()

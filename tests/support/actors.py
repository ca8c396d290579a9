"""Parts of live scenarios: producers, workers and admin calls of BullMQ for Node."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

from tests.support.requirements import node_modules

Act = Callable[..., "subprocess.Popen[str]"]
"""Starts a part with a role and the options of tests/e2e/node/actor.mjs."""
Part = dict[str, Any]


def part(role: str, queue: str = "mail", **more: Any) -> Part:
    """A part in the format of tests/e2e/node/actor.mjs."""
    return {"role": role, "queue": queue} | more


class Actors:
    """Processes that run parts on a server until `close`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._script = node_modules().parent / "actor.mjs"
        self._started: list[subprocess.Popen[str]] = []

    def __call__(
        self, role: str, queue: str = "mail", library: str = "bullmq6", port: int = 0, **more: Any
    ) -> subprocess.Popen[str]:
        """Start a part in its own process. Returns once it has started."""
        return self.play(part(role, queue, **more), library=library, port=port)

    def play(
        self, *parts: Part, library: str = "bullmq6", port: int = 0, password: str = ""
    ) -> subprocess.Popen[str]:
        """Start parts in one process, one after the other. Returns once the last has started.

        `password` belongs to the parts' `user`.
        """
        process = subprocess.Popen(
            ["node", str(self._script), library, str(port or self._port), json.dumps(parts)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PASSWORD": password},
        )
        self._started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def close(self) -> None:
        """Kill all processes."""
        for process in self._started:
            process.kill()
            process.wait()

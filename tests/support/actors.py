"""Parts of live scenarios: producers, workers and administrators of Node's BullMQ."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

from tests.support.requirements import node_modules

Act = Callable[..., "subprocess.Popen[str]"]
"""Starts a part: its role, and what tests/e2e/node/actor.mjs takes."""
Part = dict[str, Any]


def part(role: str, queue: str = "mail", **more: Any) -> Part:
    """A part as tests/e2e/node/actor.mjs takes it."""
    return {"role": role, "queue": queue} | more


class Actors:
    """Processes that play parts on a server until `close`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._script = node_modules().parent / "actor.mjs"
        self._started: list[subprocess.Popen[str]] = []

    def __call__(
        self, role: str, queue: str = "mail", library: str = "bullmq6", port: int = 0, **more: Any
    ) -> subprocess.Popen[str]:
        """Start a part in a process of its own; returns when it has begun."""
        return self.play(part(role, queue, **more), library=library, port=port)

    def play(
        self, *parts: Part, library: str = "bullmq6", port: int = 0, password: str = ""
    ) -> subprocess.Popen[str]:
        """Start parts in one process, one after the other; returns when the last has begun.

        `password` is that of the parts' `user`.
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
        """Kill all of them."""
        for process in self._started:
            process.kill()
            process.wait()

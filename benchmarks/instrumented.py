"""The exporter as users run it, but each poll waits for a command, and CPU is counted by phase.

`python -m benchmarks.instrumented CONFIG LISTEN` reads commands from stdin, one per line, and
replies to each with a line of JSON: the CPU milliseconds so far.

- `poll`: poll at once, without the discovery that would follow, and render the page
- `interval`: poll, discover until the next poll is due, and render the page
- `report`: only reply
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.phases import Phases
from exporter.app import App
from exporter.config.loader import load
from exporter.exposition import Page, Renderer
from exporter.polling import Poller


class _Gate:
    """Holds the poller before each poll until a command opens it."""

    def __init__(self) -> None:
        self._open = threading.Semaphore(0)
        self._at_gate = threading.Event()
        self._rendered = threading.Event()
        self._hurry = True

    def install(self) -> None:
        """Pass every poll through this gate.

        The real poller has no public way to be held between its steps, and would need one for
        this alone; so its private methods are replaced here.
        """
        poll, discover, wait = Poller.poll, Poller._discover, Poller._wait  # noqa: SLF001 - as above
        render = Renderer.render

        def gated_poll(poller: Poller) -> None:
            self._at_gate.set()
            self._open.acquire()
            self._rendered.clear()
            _end_pause(poller)
            poll(poller)

        def hurried_discover(poller: Poller, until: float) -> None:
            if not self._hurry or not poller._discovery.complete:  # noqa: SLF001 - as above
                discover(poller, until)

        def hurried_wait(poller: Poller, until: float) -> None:
            wait(poller, time.monotonic() if self._hurry else until)

        def noted_render(renderer: Renderer) -> Page:
            page = render(renderer)
            self._rendered.set()
            return page

        replacements: tuple[tuple[type, str, Callable[..., object]], ...] = (
            (Poller, "poll", gated_poll),
            (Poller, "_discover", hurried_discover),
            (Poller, "_wait", hurried_wait),
            (Renderer, "render", noted_render),
        )
        for owner, name, method in replacements:
            setattr(owner, name, method)

    def let_one_pass(self, *, hurry: bool) -> None:
        """Let one poll happen; returns when its page is rendered and the next poll is due."""
        self._at_gate.wait()
        self._at_gate.clear()
        self._hurry = hurry
        self._open.release()
        self._at_gate.wait()
        self._rendered.wait()


def _end_pause(poller: Poller) -> None:
    """Start a pass now if passes follow one another without end, as they do with many keys.

    The first one was urgent, and the pause that makes up for it takes longer than the benchmark.
    No user may end it, so there is no public way.
    """
    pacer = poller._pacer  # noqa: SLF001 - as above, like the next two
    if pacer._next_pass - pacer._pass_start > pacer._interval:  # noqa: SLF001
        pacer._next_pass = 0.0  # noqa: SLF001


def main() -> None:
    """Run the exporter and obey stdin until it ends."""
    path, listen = Path(sys.argv[1]), sys.argv[2]
    phases, gate = Phases(), _Gate()
    phases.install()
    gate.install()
    threading.Thread(target=_obey, args=(phases, gate), daemon=True).start()
    App(load(path, {}, listen), lambda: load(path, {}, listen), path).run()


def _obey(phases: Phases, gate: _Gate) -> None:
    for line in sys.stdin:
        command = line.strip()
        if command != "report":
            gate.let_one_pass(hurry=command == "poll")
        print(json.dumps(phases.milliseconds()), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()

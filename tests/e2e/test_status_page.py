"""The status page in a real Chromium: layout, interaction, and lost servers."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.browser import DESK, Screen
from tests.support.daemon import Daemon, daemon
from tests.support.pages import value
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

PHONE = {"width": 360, "height": 740}
HOSTILE = '<img src=x onerror="document.title=1">'
OPTIONS = (
    "poll: {interval_seconds: 0.5, stale_after_seconds: 60, blocked_after_seconds: 1}\n"
    "queues: {discovery_interval_seconds: 1}\n"
    "sync: {interval_seconds: 1}\n"
)

Open = Callable[..., Screen]


def fill(server: Server, queues: int = 60) -> None:
    """Add idle queues, and two blocked ones without workers, one of them with a hostile name."""
    pipe = server.client().pipeline()
    stuck = ("mail", HOSTILE)
    added = int(time.time() * 1000) - 36_000_000  # the same for both, so that the name decides
    for name in (*stuck, "a" * 200, *(f"queue-{n:04}" for n in range(queues))):
        pipe.hset(f"bull:{name}:meta", mapping={"opts.maxLenEvents": 10000})
        pipe.set(f"bull:{name}:id", 7)
        if name in stuck:
            pipe.rpush(f"bull:{name}:wait", 1, 2)
            pipe.hset(f"bull:{name}:1", "timestamp", added)
            pipe.hset(f"bull:{name}:2", "timestamp", added)
        pipe.zadd(f"bull:{name}:completed", {"3": 1})
    pipe.execute()


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with valkey() as server:
        fill(server)
        yield server


@pytest.fixture(scope="module")
def running(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("status")
    config = f"connections: {{default: {{url: {redis.url}}}}}\n{OPTIONS}"
    with daemon(folder, config) as found:
        wait_for(lambda: "No worker connected: 2 queues" in found.get("/").text, "two are blocked")
        yield found


def test_hostile_names_are_shown_as_text(running: Daemon, look: Open) -> None:
    screen = look(running)
    assert screen.names()[:2] == [HOSTILE, "mail"]
    assert screen.page.locator("img").count() == 0
    assert screen.page.title().startswith("✖ No worker connected: 2 queues")


def test_no_width_scrolls_sideways(running: Daemon, look: Open) -> None:
    page = look(running).page
    for width in (320, 360, 768, 999, 1000, 1024, 1359, 1360, 1920):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#table tbody tr").first.bounding_box()["width"] <= width


def test_a_phone_shows_the_important_values(running: Daemon, look: Open) -> None:
    card = look(running, viewport=PHONE).page.locator("#table tbody tr").nth(1).inner_text()
    for text in ("mail", "no_workers", "no worker is connected", "2", "10h"):
        assert text in card


def test_the_page_follows_the_systems_colour_scheme(running: Daemon, look: Open) -> None:
    def brightness(scheme: str) -> tuple[int, int]:
        """The brightness of the background and of the text."""
        page = look(running, color_scheme=scheme).page
        style = "getComputedStyle(document.body)"
        texts = [page.evaluate(f"{style}.{name}") for name in ("backgroundColor", "color")]
        sums = [sum(map(int, text[4:-1].split(","))) for text in texts]
        return sums[0], sums[1]

    light, dark = brightness("light"), brightness("dark")
    assert light[0] > 650 > 150 > light[1]
    assert dark[0] < 150 < 650 < dark[1]


def test_axe_reports_no_violations(running: Daemon, look: Open) -> None:
    screen = look(running, "/?q=a")
    for size in (DESK, PHONE):
        for scheme in ("light", "dark"):
            screen.page.set_viewport_size(size)
            screen.page.emulate_media(color_scheme=scheme)
            assert screen.violations() == [], (size, scheme)


def test_the_page_works_without_javascript(running: Daemon, look: Open) -> None:
    screen = look(running, java_script_enabled=False)
    assert "Reload the page" in screen.page.locator("header").inner_text()
    rows = screen.page.locator("#table tbody tr")
    assert rows.count() == 63
    screen.page.get_by_label("Search").fill("MAIL")
    screen.page.get_by_role("button", name="Show").click()
    screen.until(lambda _: rows.count() == 1, "the search result")
    assert "1 of 63 queues" in screen.page.locator("form").inner_text()
    screen.open()
    screen.page.get_by_label("blocked only").check()
    screen.page.get_by_role("button", name="Show").click()
    screen.until(lambda _: rows.count() == 2, "the blocked ones")
    screen.page.get_by_role("link", name="Queue", exact=True).click()
    screen.until(lambda s: "sort=name" in s.address, "in another order")
    assert rows.count() == 2
    assert screen.page.locator("[aria-sort]").inner_text() == "Queue"


def test_search_sort_and_filter_without_loading_the_page_again(running: Daemon, look: Open) -> None:
    screen = look(running)
    screen.page.evaluate("window.same = true")
    screen.page.get_by_label("Search").press_sequentially("queue-000")
    screen.until(lambda s: len(s.names()) == 10, "ten match")
    screen.until(lambda s: "q=queue-000" in s.address, "the address changes")
    for order in ("ascending", "descending"):
        screen.page.get_by_role("link", name="Queue", exact=True).click()
        head = screen.page.locator(f'[aria-sort="{order}"]:has-text("Queue")')
        screen.until(lambda _, head=head: head.count() == 1, order)
    screen.until(lambda s: s.names()[:1] == ["queue-0009"], "the other way round")
    screen.page.get_by_label("Search").fill("")
    screen.page.get_by_label("blocked only").check()
    screen.until(lambda s: set(s.names()) == {HOSTILE, "mail"}, "the blocked ones")
    screen.page.locator("#prefix").select_option("bull")
    screen.page.locator("#connection").select_option("default")
    screen.until(lambda s: "connection=default&prefix=bull" in s.address, "an address")
    assert len(screen.names()) == 2
    assert screen.page.evaluate("window.same")
    reloaded = screen.open(screen.address.removeprefix(running.url))
    assert len(reloaded.names()) == 2


def test_the_keyboard_reaches_everything(running: Daemon, look: Open) -> None:
    screen = look(running)
    keyboard = screen.page.keyboard
    keyboard.press("Tab")
    assert screen.focused == "Skip to the queues"
    keyboard.press("Enter")
    keyboard.press("Tab")
    assert screen.focused == "q"
    keyboard.type("queue-00")
    screen.until(lambda s: len(s.names()) == 60, "sixty match")
    for name in ("connection", "prefix", "only", "Queue", "Blocked", "Waiting"):
        keyboard.press("Tab")
        assert screen.focused == name
    keyboard.press("Enter")
    sorted_by = screen.page.locator('[aria-sort="descending"]')
    screen.until(lambda _: sorted_by.count() == 1, "sorted")
    assert sorted_by.inner_text() == "Waiting"
    assert screen.focused == "Waiting"


def test_a_refresh_keeps_focus_selection_and_scroll_position(
    running: Daemon, redis: Server, look: Open
) -> None:
    screen = look(running)
    page = screen.page
    page.get_by_label("Search").type("e", delay=1)
    screen.until(lambda s: len(s.names()) == 61, "all but two match")
    page.evaluate("window.scrollTo(0, 700)")
    page.evaluate(
        "getSelection().selectAllChildren("
        "document.querySelector('[data-key$=\"|queue-0030\"] bdi'))"
    )
    page.evaluate("window.row = document.querySelector('[data-key$=\"|queue-0030\"]')")
    top = page.evaluate("row.getBoundingClientRect().top")
    redis.client().zadd("bull:queue-0030:completed", {"x": 1, "y": 2})
    done = "window.row.cells[8].textContent"
    screen.until(lambda s: s.page.evaluate(done) == "3", "the new value in the same row")
    assert page.evaluate("row.isConnected")
    assert page.evaluate("getSelection().toString()") == "queue-0030"
    assert abs(page.evaluate("row.getBoundingClientRect().top") - top) < 1
    assert page.get_by_label("Search").input_value() == "e"
    redis.client().zrem("bull:queue-0030:completed", "x", "y")


def test_pause_and_resume(running: Daemon, look: Open) -> None:
    screen = look(running)
    pause = screen.page.get_by_role("button", name="Pause")
    pause.click()
    assert screen.alarm.startswith("Paused. Showing data as of")
    assert screen.page.locator("body.stale").count() == 1
    age = screen.page.locator("#age")
    # more than two refresh intervals
    screen.until(lambda _: int(age.inner_text().split()[0]) > 2, "no refresh")
    pause.click()
    screen.until(lambda s: not s.alarm, "fresh again")
    assert pause.get_attribute("aria-pressed") == "false"


def test_redis_is_lost_and_returns(tmp_path: Path, look: Open) -> None:
    with valkey() as server:
        fill(server)
        soon = OPTIONS.replace("stale_after_seconds: 60", "stale_after_seconds: 8")
        config = f"connections: {{api: {{url: {server.url}}}}}\n{soon}"
        with daemon(tmp_path, config) as running:
            screen = look(running)
            screen.until(lambda s: "2 queues" in s.headline, "queues")
            screen.page.get_by_label("Search").fill("ma")
            screen.page.locator("#prefix").select_option("bull")
            screen.page.get_by_label("Search").focus()
            screen.until(lambda s: len(s.names()) == 1, "the search")
            server.kill()

            def lost(s: Screen) -> bool:
                shown = [row.classes for row in s.rows()] == [["blocked", "old"]]
                return shown and "its queues are shown as of then" in s.verdict

            screen.until(lost, "the loss")
            assert screen.headline == "Redis unreachable: api"
            screen.until(lambda s: "what its queues do is unknown" in s.verdict, "unknown")
            assert [(row.classes, row.reason) for row in screen.rows()] == [(["old"], "")]
            assert "as of" in screen.page.locator("#table tbody").inner_text()
            wait_for(lambda: value(running.samples(), "bullmq_up") == 0, "the metric")
            assert "connection: " in screen.verdict
            screen.until(lambda s: s.alarm == "", "the exporter itself answers")
            assert screen.page.locator("#connections tbody tr").inner_text().count("?") >= 3
            server.start()
            fill(server)
            screen.until(lambda s: "2 queues" in s.headline and s.names() == ["mail"], "back")
            assert screen.focused == "q"
            assert screen.page.get_by_label("Search").input_value() == "ma"
            assert screen.page.locator("#prefix").input_value() == "bull"


def test_the_exporter_is_lost_and_returns(redis: Server, tmp_path: Path, look: Open) -> None:
    config = f"connections: {{api: {{url: {redis.url}}}}}\n{OPTIONS}"
    with daemon(tmp_path, config) as running:
        screen = look(running, "/?q=ma")
        screen.until(lambda s: "2 queues" in s.headline, "queues")
        assert screen.page.locator(".stale").count() == 0
        port = running.port
        running.stop(signal.SIGKILL)
        screen.until(lambda s: s.alarm, "an alarm")
        assert screen.alarm.startswith("The exporter does not respond (unreachable).")
        assert screen.page.locator("body.stale").count() == 1
        assert screen.page.title() == "? Not up to date - bullmq-exporter"
        assert screen.headline == "Unknown: the exporter does not respond"
        assert screen.names() == ["mail"], "as it was"
        assert screen.violations() == []
    with daemon(tmp_path, config, port=port):
        screen.until(lambda s: not s.alarm and "2 queues" in s.headline, "an answer")
        assert screen.page.locator(".stale").count() == 0
        assert screen.page.title().startswith("✖ No worker connected")


CHANGES = """() => {
  window.changed = {added: 0, removed: 0, rows: new Set()};
  const count = (nodes) => [...nodes].filter((node) => node.nodeName === "TR").length;
  new MutationObserver((records) => {
    for (const record of records) {
      changed.added += count(record.addedNodes);
      changed.removed += count(record.removedNodes);
      const element = record.target.closest ? record.target : record.target.parentElement;
      const row = element.closest("tr");
      if (row) changed.rows.add(row.dataset.key.split("|").at(-1));
    }
  }).observe(document.querySelector("#table tbody"), {
    subtree: true, childList: true, characterData: true, attributes: true,
  });
}"""


def test_a_refresh_updates_only_changed_rows(tmp_path: Path, look: Open) -> None:
    with valkey() as server:
        fill(server, queues=97)
        rarely = OPTIONS.replace("poll: {interval_seconds: 0.5", "poll: {interval_seconds: 2")
        # without rates, which are known after half a minute, and change every row then
        rarely += "events: {enabled: false}\n"
        config = f"connections: {{api: {{url: {server.url}}}}}\n{rarely}"
        with daemon(tmp_path, config) as running:
            wait_for(
                lambda: "No worker connected: 2 queues" in running.get("/").text, "all of them"
            )
            screen = look(running)
            page, rows = screen.page, screen.page.locator("#table tbody tr")
            assert rows.count() == 100
            row = page.locator('[data-key$="|queue-0083"]')
            page.evaluate(CHANGES)
            server.client().zadd("bull:queue-0083:completed", {"x": 1, "y": 2})
            screen.until(lambda _: row.locator("td").nth(7).text_content() == "3", "the new value")
            assert page.evaluate("[changed.added, changed.removed]") == [0, 0]
            # jobs of the two blocked queues become older
            touched = set(page.evaluate("[...changed.rows]")) - {"mail", HOSTILE}
            assert touched == {"queue-0083"}, len(touched)

            page.get_by_label("Search").fill("queue-0083")
            screen.until(lambda _: rows.count() == 1, "one")
            assert page.evaluate("[changed.added, changed.removed]") == [0, 99]
            page.get_by_label("Search").fill("")
            screen.until(lambda _: rows.count() == 100, "all")
            assert page.evaluate("[changed.added, changed.removed]") == [99, 99]


def test_a_refresh_stays_on_its_page_and_a_search_begins_at_the_first(
    tmp_path: Path, look: Open
) -> None:
    with valkey() as server:
        fill(server, queues=148)
        config = f"connections: {{api: {{url: {server.url}}}}}\n{OPTIONS}"
        with daemon(tmp_path, config) as running:
            wait_for(lambda: "1 to 100 of 151" in running.get("/").text, "all of them")
            screen = look(running, "/?sort=name&page=2")
            last = screen.names()
            assert len(last) == 51
            at = screen.page.locator("#when time")
            before = at.inner_text()
            screen.until(lambda _: at.inner_text() != before, "a refresh")
            assert screen.names() == last
            screen.page.get_by_role("link", name="Previous").click()
            screen.until(lambda s: len(s.names()) == 100, "the first page")
            screen.page.get_by_role("link", name="Next").click()
            screen.until(lambda s: s.names() == last, "the second page")
            screen.page.get_by_label("Search").fill("queue-")
            screen.until(lambda s: s.names()[:1] == ["queue-0000"], "the first page of the search")
            assert "page=" not in screen.address

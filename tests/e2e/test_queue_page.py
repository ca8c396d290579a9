"""The page of a queue in a real Chromium, its JSON and `/scale`, on data and on live BullMQ."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import DESK, Screen
from tests.support.daemon import Daemon, daemon
from tests.support.pages import value
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

PHONE = {"width": 360, "height": 740}
HOSTILE = '<img src=x onerror="document.title=1"> & "mail"'
LONG = "a" * 200
LINKS = 'web: {links: {Board: "https://board.example.com/{prefix}/{queue}"}}\n'
OPTIONS = "poll: {interval_seconds: 0.5, stale_after_seconds: 60, blocked_after_seconds: 1}\n"

Open = Callable[..., Screen]


def fill(server: Server) -> None:
    """Queues without workers, three of them blocked, and one name under two prefixes.

    The job that is ready for longest, and schedulers, have names that are markup, and long.
    """
    pipe = server.client().pipeline()
    ago = int(time.time() * 1000) - 36_000_000
    for name in ("mail", HOSTILE, LONG):
        pipe.hset(f"bull:{name}:meta", mapping={"version": "bullmq:5.81.5", "concurrency": 7})
        pipe.set(f"bull:{name}:id", 2)
        pipe.rpush(f"bull:{name}:wait", 1, HOSTILE)
        pipe.hset(f"bull:{name}:1", "timestamp", ago + 1)
        pipe.hset(f"bull:{name}:{HOSTILE}", "timestamp", ago)
        pipe.zadd(
            f"bull:{name}:repeat", {"done": ago, LONG: ago + 1, HOSTILE: ago + 2 * 36_000_000}
        )
        pipe.hset(f"bull:{name}:repeat:done", mapping={"name": "x", "limit": 1, "ic": 1})
    for prefix in ("bull", "x"):
        pipe.hset(f"{prefix}:sms:meta", "version", "bullmq:5.81.5")
    pipe.execute()


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with valkey() as server:
        fill(server)
        yield server


@pytest.fixture(scope="module")
def running(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    config = (
        f"connections: {{default: {{url: {redis.url}}}}}\nqueues: {{prefixes: [bull, x]}}\n"
        f"{OPTIONS}{LINKS}"
    )
    with daemon(tmp_path_factory.mktemp("queue"), config) as found:
        wait_for(
            lambda: (detail(found).get("history") or {}).get("changes"),
            "the queue is blocked, and since when is known",
        )
        yield found


def detail(running: Daemon, query: str = "name=mail") -> Any:
    return running.get(f"/health/queue?{query}").json


def test_the_status_page_leads_to_the_queue(running: Daemon, look: Open) -> None:
    for scripts in (True, False):
        screen = look(running, java_script_enabled=scripts)
        screen.page.get_by_role("link", name="mail", exact=True).click()
        screen.until(lambda s: "/queue?connection=default&prefix=bull" in s.address, "its page")
        assert screen.headline.startswith("mail")
        for text in ("No worker connected", "no worker is connected; start one", "(2 pending)"):
            assert text in screen.verdict
        screen.page.get_by_role("link", name="All queues").click()
        screen.until(lambda s: s.address == f"{running.url}/", "the status page")


def test_page_json_and_metrics_agree(running: Daemon, look: Open) -> None:
    text = look(running, "/queue?name=mail").page.locator("main").inner_text()
    found, samples = detail(running), running.samples()
    assert found["queue"]["reason"] == "no_workers"
    assert found["queue"]["jobs"]["waiting"] == 2
    assert found["settings"]["concurrency_limit"] == 7
    assert found["history"]["changes"][-1]["reason"] == "no_workers"
    assert found["since"] == found["history"]["changes"][-1]["time"]
    assert found["findings"][0]["headline"] in text
    for part in (
        "Waiting\n2",
        f"Oldest ready\n10h job {HOSTILE}",
        "Concurrency limit\n7",
        "blocked: no workers",
        "done finished: its limit or its end is reached",
        f"{LONG} late for 10h: no worker has started its next job",
        f"{HOSTILE} next run in 10h",
    ):
        assert part in text
    assert found["oldest_waiting_job"] == HOSTILE
    schedulers = {each["id"]: each["state"] for each in found["schedulers"]["first"]}
    assert schedulers == {"done": "finished", LONG: "late", HOSTILE: "scheduled"}
    late = value(samples, "bullmq_queue_schedulers_overdue", prefix="bull", queue="mail")
    assert late == found["schedulers"]["overdue"] == 1
    assert "Never, at this rate." in text
    names = {"connection": "default", "prefix": "bull", "queue": "mail"}
    assert value(samples, "bullmq_queue_drain_seconds", **names) == float("inf")
    scale = running.get("/scale?queue=mail")
    assert len(scale.body) <= 1000
    assert scale.json | {"oldest_seconds": 0} == found["scale"] | {"oldest_seconds": 0}
    assert (scale.json["drains"], scale.json["blocked"]) == (False, "no_workers")


def test_charts_are_described(running: Daemon, look: Open) -> None:
    page = look(running, "/queue?name=mail").page
    ready = page.get_by_role("img", name="Ready jobs in the last hour: 2 now, at most 2")
    assert ready.count() == 1
    assert ready.locator(".blocked").count() == 1
    assert ready.locator(".line").get_attribute("d").startswith("M")


def test_hostile_and_long_names(running: Daemon, look: Open) -> None:
    screen = look(running)
    screen.page.get_by_role("link", name=HOSTILE).click()
    screen.until(lambda s: "/queue?" in s.address, "its page")
    assert HOSTILE in screen.headline
    assert screen.page.locator("img").count() == 0
    link = screen.page.get_by_role("link", name="Board")
    assert link.get_attribute("href").startswith("https://board.example.com/bull/%3Cimg%20src")
    assert LONG in look(running, f"/queue?name={LONG}").headline


def test_no_width_scrolls_sideways(running: Daemon, look: Open) -> None:
    for query in ("name=mail", f"name={LONG}", "name=sms"):
        page = look(running, f"/queue?{query}").page
        for width in (320, 360, 768, 1024, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 740})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (query, width)


def test_axe_reports_no_violations(running: Daemon, look: Open) -> None:
    screen = look(running, "/queue?name=mail")
    for size in (DESK, PHONE):
        for scheme in ("light", "dark"):
            screen.page.set_viewport_size(size)
            screen.page.emulate_media(color_scheme=scheme)
            assert screen.violations() == [], (size, scheme)
    assert look(running, "/queue?name=sms").violations() == []


def test_a_phone_shows_the_verdict_first(running: Daemon, look: Open) -> None:
    page = look(running, "/queue?name=mail", viewport=PHONE).page
    box = page.locator("#verdict").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < PHONE["height"] / 2


def test_where_the_name_is_not_enough(running: Daemon, look: Open) -> None:
    screen = look(running, "/queue?name=sms")
    assert screen.headline == "2 queues named sms"
    screen.page.get_by_role("link", name="sms").nth(1).click()
    screen.until(lambda s: "prefix=x" in s.address, "the chosen one")
    assert screen.headline.startswith("sms")
    for path, status in (
        ("/queue?name=sms", 300),
        ("/queue?name=sms&prefix=x", 200),
        ("/queue?name=Mail", 404),
        ("/queue?name=mail&connection=other", 404),
        ("/queue", 400),
        ("/queue?name=mail&foo=1", 400),
    ):
        for each in (path, path.replace("/queue", "/health/queue")):
            assert running.get(each).status == status, each
    assert "Queues with a similar name" in running.get("/queue?name=Mail").text
    assert detail(running, "name=Mail")["similar"][0]["queue"] == "mail"


def test_an_outage(tmp_path: Path) -> None:
    """Nothing of before is shown as if it were so now."""
    with valkey() as server:
        fill(server)
        options = OPTIONS.replace("60", "1")
        with daemon(tmp_path, f"connections: {{default: {{url: {server.url}}}}}\n{options}") as it:
            wait_for(lambda: detail(it).get("history"), "points")
            server.kill()
            wait_for(lambda: it.get("/queue?name=mail").status == 503, "an outage")
            assert "could not be read" in it.get("/queue?name=mail").text
            assert it.get("/scale?queue=mail").status == 503
            assert it.get("/health/queue?name=mail").status == 503

"""The status page: its contents, and that no name in Redis can change its markup."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, Final

import pytest

from exporter.bullmq import queue_of
from exporter.findings import Status
from exporter.state.failures import FailureClass
from exporter.state.snapshots import (
    CollectorReport,
    Dated,
    EventFacts,
    JobEvents,
    QueueEvents,
    ServerFacts,
    Snapshot,
    SyncReport,
)
from exporter.state.store import SnapshotStore
from exporter.state.workers import WorkerCount
from exporter.views.formatting import rate, size
from exporter.views.parameters import QueryError
from exporter.web.background import Background
from exporter.web.status import ASSETS, Query, StatusPage
from exporter.web.status.assets import FOLDER
from exporter.web.status.connections import connection_views
from exporter.web.status.filters import milliseconds
from exporter.web.status.page import PAGE_ROWS
from tests.support.factories import (
    NO_DURATIONS,
    config,
    moment,
    refused,
    snapshot,
    stuck,
    sync_report,
)
from tests.support.stopped_clock import StoppedClock

MAIL, IMAGES = ("bull", "mail"), ("bull", "images")


def store_of(*snapshots: Snapshot, sync: SyncReport | None = None) -> SnapshotStore:
    store = SnapshotStore(list(dict.fromkeys(each.connection for each in snapshots)))
    for each in snapshots:
        store.publish(each)
    store.sync = sync
    return store


def page_of(*snapshots: Snapshot, query: Query | None = None, **more: Any) -> str:
    store = store_of(*snapshots, **more)
    settings = config(*store.connections)
    return StatusPage(Background(lambda: settings, store)).write(query or Query()).decode()


class TestConnections:
    def test_details_of_a_connection(self) -> None:
        server = ServerFacts(
            {"software": "valkey 9.1", "maxmemory_policy": "noeviction"},
            {"memory_used_bytes": 2048.0, "memory_max_bytes": 0.0, "keys": 7.0},
            {},
        )
        sync = sync_report(["api"])
        view = connection_views(moment(snapshot(server=server), sync=sync))[0]
        assert (view.status, view.reaches, view.server) == (
            "up",
            "api:6379/0",
            "valkey 9.1, master",
        )
        assert (view.memory_bytes, view.keys, view.ping_seconds) == (2048, 7, 0.0012)
        assert view.sync == "sees its own writes after 0.4 ms"

    def test_sync_results_of_each_writer(self) -> None:
        both = (snapshot("api"), snapshot("worker"))
        sync = sync_report(["api", "worker"], [("api", "worker")])
        api, worker = connection_views(moment(*both, sync=sync))
        assert api.sync_level is Status.CRITICAL
        assert worker.sync == "all 2 connections see its writes after 0.4 ms"
        grouped = config("api", "worker", sync={"groups": [["api", "worker"]]})
        _, worker = connection_views(moment(*both, sync=sync, settings=grouped))
        assert worker.sync == "all 2 connections of its group see its writes after 0.4 ms"

    def test_when_the_memory_is_full(self, clock: StoppedClock) -> None:
        store = SnapshotStore(["api"])
        for minute in range(31):
            clock.move(60)
            values = {"memory_used_bytes": 1e8 + 6e4 * minute, "memory_max_bytes": 1e9}
            store.publish(snapshot(queues={MAIL: {}}, server=ServerFacts({}, values, {})))
        settings = config("api")
        page = StatusPage(Background(lambda: settings, store)).write(Query()).decode()
        assert "of 953.7 MiB, full in 10d at this rate" in page

    def test_a_lost_connection_shows_no_latency(self) -> None:
        view = connection_views(moment(snapshot(up=False, last_error=refused(), ago=60)))[0]
        assert (view.status, view.ping_seconds, view.memory_bytes) == ("down", None, None)

    def test_an_untried_connection(self) -> None:
        views = connection_views(moment(snapshot(), connections=("api", "worker")))
        assert [view.status for view in views] == ["up", "not tried yet"]

    def test_a_connection_whose_queues_another_one_reads(self) -> None:
        api = snapshot("api", {MAIL: {}})
        views = connection_views(moment(api, snapshot("worker", metadata=api.metadata)))
        assert [view.shares for view in views] == ["", "api"]


class TestQuery:
    QUEUES: Final = {MAIL: stuck(), IMAGES: {"failed": 3}, ("jobs", "Mailing"): {}}

    def names(self, **parameters: str) -> list[str]:
        page = page_of(snapshot(queues=self.QUEUES), query=Query.of(parameters))
        return re.findall(r'<tr data-key="api\|\d+\|\w+\|(\w+)"', page)

    def test_blocked_queues_come_first(self) -> None:
        assert self.names() == ["mail", "images", "Mailing"]

    @pytest.mark.parametrize(
        ("parameters", "names"),
        [
            ({"q": "MAIL"}, ["mail", "Mailing"]),
            ({"prefix": "jobs"}, ["Mailing"]),
            ({"connection": "api", "only": "blocked"}, ["mail"]),
            ({"connection": "worker"}, []),
            ({"sort": "failed"}, ["images", "mail", "Mailing"]),
            ({"sort": "name", "order": "back"}, ["Mailing", "mail", "images"]),
            ({"utm": "x"}, ["mail", "images", "Mailing"]),
        ],
    )
    def test_filters_and_orders(self, parameters: dict[str, str], names: list[str]) -> None:
        assert self.names(**parameters) == names

    @pytest.mark.parametrize(
        ("parameters", "text"),
        [
            ({"sort": "size"}, r"sort: unknown value; use one of impact, name, .*"),
            ({"order": "up"}, "order: unknown value; use one of back, or omit it"),
            ({"only": "x"}, "only: unknown value; use one of blocked, or omit it"),
            ({"q": "x" * 201}, "a parameter is longer than 200 characters"),
            ({"page": "0"}, "page: must be a number from 1"),
            ({"page": "-1"}, "page: must be a number from 1"),
            ({"page": "²"}, "page: must be a number from 1"),
        ],
    )
    def test_error_messages(self, parameters: dict[str, str], text: str) -> None:
        with pytest.raises(QueryError, match=f"^{text}$"):
            Query.of(parameters)

    def test_a_column_header_keeps_the_search_and_reverses_the_order(self) -> None:
        query = Query(q="a b&c", only="blocked", sort="failed")
        assert query.sorted_by("name") == "?q=a+b%26c&only=blocked&sort=name"
        assert query.sorted_by("failed").endswith("&sort=failed&order=back")
        back = Query(sort="failed", order="back")
        assert back.sorted_by("failed") == "?sort=failed"
        assert Query(page="3").sorted_by("name") == "?sort=name"

    def test_the_form_shows_the_current_search(self) -> None:
        query = Query(q='"><b>', prefix="gone", only="blocked")
        page = page_of(snapshot(queues=self.QUEUES), query=query)
        assert 'value="&#34;&gt;&lt;b&gt;"' in page
        assert '<option data-key="gone" value="gone" selected>' in page
        assert 'value="blocked" checked' in page
        assert "No queues match." in page
        assert "0 of 3 queues" in page

    def test_many_queues_are_shown_page_by_page(self) -> None:
        known = snapshot(queues={("bull", f"q{n:03}"): {} for n in range(2 * PAGE_ROWS + 1)})

        def shown(**parameters: str) -> tuple[list[str], str, list[str]]:
            """The queues, what the page says of their number, and the links to others."""
            page = page_of(known, query=Query.of(parameters))
            nav = page.split('<nav id="pages"')[1].split("</nav>")[0]
            text = re.findall(r"<span>(.*)</span>", nav)
            names = re.findall(r'<tr data-key="api\|4\|bull\|(\w+)"', page)
            return names, "".join(text), re.findall('href="(.*?)"', nav)

        names, text, links = shown(q="q")
        assert (names[0], names[-1], len(names)) == ("q000", "q099", PAGE_ROWS)
        assert (text, links) == ("1 to 100 of 201", ["?q=q&amp;page=2"])
        names, text, links = shown(page="2", sort="name")
        assert (names[0], names[-1]) == ("q100", "q199")
        assert links == ["?sort=name", "?sort=name&amp;page=3"]
        assert shown(page="9")[:2] == (["q200"], "201 to 201 of 201")
        assert shown(q="q20")[1:] == ("", [])


class Tags(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "</table><h1>All is well</h1>",
    "javascript:alert(1)",
    "&lt;b&gt;&amp;",
    "\u202eliam\u0000\n\x1b[31m",
    "]]><!--",
)


class TestHostileNames:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_names_are_shown_as_text(self, name: str) -> None:
        queues = {(name, name): stuck()}
        server = ServerFacts({"software": name, "maxmemory_policy": name}, {}, {})
        problem = refused()
        harmless = snapshot(
            queues={("p", "q"): stuck()},
            server=server,
            reports={"queues": CollectorReport(last_error=problem)},
        )
        attack = snapshot(
            queues=queues, server=server, reports={"queues": CollectorReport(last_error=problem)}
        )
        expected = Tags(page_of(harmless, query=Query(q="q", prefix="p"))).found
        tags = Tags(page_of(attack, query=Query(q=name, prefix=name))).found
        assert [tag for tag, _ in tags] == [tag for tag, _ in expected]
        assert [list(attributes) for _, attributes in tags] == [list(a) for _, a in expected]
        assert not [a for _, a in tags for attribute in a if attribute.startswith("on")]

    def test_keys_of_rows_are_unique(self) -> None:
        """The page's script finds rows by their keys."""
        page = page_of(snapshot(queues={("a", "b|c"): {}, ("a|b", "c"): {}}))
        keys = [a["data-key"] for tag, a in Tags(page).found if tag == "tr" and "data-key" in a]
        assert len(keys) == len(set(keys)) == 3

    def test_control_characters_cannot_reverse_a_line(self) -> None:
        page = page_of(snapshot(queues={("bull", "a\u202eb\nc"): stuck()}))
        assert "<bdi>a?b?c</bdi>" in page
        assert "No worker connected: bull:a?b?c on api" in page


class TestWorkers:
    def test_odd_workers_are_named(self) -> None:
        facts = {"active": 0}
        page = page_of(snapshot(queues={MAIL: facts}, workers={MAIL: WorkerCount(3, 2, 1)}))
        assert "of 3 workers, 1 neither waits for jobs nor works on one" in page


class TestFailures:
    def page(self, seconds_ago: float) -> str:
        at = int((time.time() - seconds_ago) * 1000)
        classes = {"timeout": FailureClass(1234, 1, at, b"7", b"timeout after 5 s")}
        facts = EventFacts({queue_of(*MAIL): QueueEvents(9, 0, {}, failures=classes)}, 0.0, 0)
        known = snapshot(queues={MAIL: {}})
        return page_of(replace(known, facts=known.facts | {EventFacts: Dated(facts, known.at)}))

    def test_a_class_of_the_last_hour_is_shown(self) -> None:
        page = self.page(3000)
        assert "1,234 failed: <bdi>timeout</bdi>, at last <q>timeout after …</q>" in page

    def test_an_older_one_is_not(self) -> None:
        assert "1,234 failed" not in self.page(4000)


class TestRows:
    def row(self, queues: dict[tuple[str, str], Any], **more: Any) -> str:
        page = page_of(snapshot(queues=queues, **more))
        match = re.search(r'<tr data-key="api\|.*?</tr>', page)
        assert match is not None
        return match[0]

    def test_a_queue_in_every_column(self) -> None:
        facts = {"waiting": 1234, "prioritized": 2, "active": 3, "delayed": 4}
        facts |= {"waiting-children": 5, "completed": 6, "failed": 7, "delayed_overdue_jobs": 8}
        facts |= {"oldest_waiting_seconds": 600.0, "oldest_active_seconds": 30.0, "paused": 1}
        row = self.row({MAIL: facts}, workers={MAIL: WorkerCount(3, 1)})
        texts = re.sub(r"<[^>]+>", "|", row)
        values = [text.strip() for text in texts.split("|") if text.strip()]
        assert values == [
            "mail",
            "paused",
            "api ·",
            "bull",
            "8 overdue",
            "1,234",
            "2",
            "3",
            "4",
        ] + [*("5", "6", "7", "10m", "30s", "3", "1 idle", "?", "?", "?")]

    def test_unknown_values_are_not_zero(self) -> None:
        row = self.row({MAIL: {"waiting": None, "oldest_waiting_seconds": None}})
        assert row.count("<td>?</td>") >= 2

    def test_rows_of_a_lost_connection_look_old(self) -> None:
        assert 'class=" old"' in self.row({MAIL: {}}, up=False, last_error=refused(), ago=5)
        assert 'class="blocked' in self.row({MAIL: stuck()})

    def test_the_last_known_state_says_nothing_about_now(self) -> None:
        """It is shown with its time, and without a verdict."""
        facts = stuck() | {"waiting": 1234}
        row = self.row({MAIL: facts}, up=False, last_error=refused(), ago=3600)
        assert "1,234" in row
        assert 'class=" old"' in row
        assert re.search(r"as of \d\d:\d\d:\d\d UTC", row)
        assert "no_workers" not in row

    def test_rates_come_from_earlier_snapshots(self) -> None:
        def with_events(ago: float, completed: int) -> Snapshot:
            jobs = JobEvents(completed, 0, completed, 0, 0, 0, 0, 0, NO_DURATIONS, {})
            events = EventFacts(
                {queue_of(*MAIL): QueueEvents(2 * completed, 0, {"": jobs})}, 0.0, 0
            )
            made = snapshot(queues={MAIL: {}}, ago=ago)
            facts = {**made.facts, EventFacts: Dated(events, made.at)}
            return replace(made, facts=facts)

        page = page_of(with_events(30, 100), with_events(0, 160))
        assert page.count("<td>120</td>") == 2

    def test_rows_have_no_whitespace_between_elements(self) -> None:
        """The script that moves rows would have to skip it."""
        page = page_of(snapshot(queues={MAIL: stuck(), IMAGES: {}}))
        body = page.split("</thead>")[2].split("</table>")[0].strip()
        assert body.startswith("<tbody><tr ")
        assert body.endswith("</tr></tbody>")
        assert "\n" not in body
        assert not re.search(r"</t[hd]>\s+<t[hd]", body)


class TestCache:
    def test_a_page_is_rendered_once_per_poll(self) -> None:
        store = store_of(snapshot(queues={MAIL: {}}))
        page = StatusPage(Background(config, store))
        first = page.write(Query())
        assert page.write(Query()) is first
        assert page.write(Query(q="x")) is not first
        store.publish(snapshot(queues={MAIL: {"waiting": 5}}))
        assert b"<td>5</td>" in page.write(Query())

    def test_a_search_may_be_answered_from_what_was_shown_before(self, clock: StoppedClock) -> None:
        """With thousands of queues, a new verdict takes longer than a search should."""
        store = store_of(snapshot(queues={MAIL: {}}))
        page = StatusPage(Background(config, store))

        def searched(max_age: float) -> tuple[bool, float]:
            search = page.page(Query(q="m"), gzip=False, max_age=max_age)
            found = asyncio.run(search)
            return b"<td>5</td>" in found.body, time.monotonic() - found.at

        page.write(Query())
        store.publish(snapshot(queues={MAIL: {"waiting": 5}}))
        clock.move(3)
        assert searched(10) == (False, 3)
        assert searched(2) == (True, 0)

    def test_a_page_is_rendered_again_when_values_become_stale(self, clock: StoppedClock) -> None:
        store = store_of(snapshot(queues={MAIL: {}}))
        page = StatusPage(Background(config, store))
        assert b"All is well" in page.write(Query())
        clock.move(20)
        old = page.write(Query()).decode()
        assert "Redis unreachable" in old
        assert re.search(r'<tr data-key="api\|4\|bull\|mail" class=" old"', old)

    def test_the_number_of_cached_pages_is_limited(self) -> None:
        background = Background(config, store_of(snapshot()))
        page = StatusPage(background)
        for n in range(100):
            page.write(Query(q=str(n)))
        assert 1 <= background.make("kept", lambda known: len(known.made)) <= 16


class TestFiles:
    def test_files_are_small(self) -> None:
        files = [file for file in FOLDER.iterdir() if file.suffix in (".css", ".js", ".j2")]
        assert len(files) == 5
        assert sum(file.stat().st_size for file in files) < 60_000

    def test_nothing_is_loaded_from_other_hosts(self) -> None:
        page = page_of(snapshot(queues={MAIL: stuck()}))
        local = {"http://www.w3.org/2000/svg"}
        for text in [page, *(asset.content.decode() for asset in ASSETS)]:
            assert set(re.findall(r"\b(?:https?:)?//[^\s'\"]+\.[^\s'\"]+", text)) <= local
        for tag, attributes in Tags(page).found:
            assert "style" not in attributes
            assert tag != "style"
            assert not (tag == "script" and "src" not in attributes)

    def test_asset_names_contain_a_hash_of_the_content(self) -> None:
        page = page_of(snapshot())
        for asset in ASSETS:
            name = asset.path.removeprefix("static/").partition("-")[0]
            assert (f'"{asset.path}"' in page) is (name == "status")
            assert re.fullmatch(r"static/(status|queue)-[0-9a-f]{12}\.(css|js)", asset.path)

    def test_cards_label_values_like_the_columns(self) -> None:
        page = page_of(snapshot())
        table = page.split('<table id="table">')[1].split("</thead>")[0]
        heads = re.findall(r'<th scope="col"[^>]*>(?:<a [^>]*>)?([^<]*)', table)
        style = (FOLDER / "status.css").read_text()
        labels = re.findall(r'#table td:nth-child\((\d+)\)::before \{ content: "(.*) "; }', style)
        trend = heads.index("Last hour") + 1
        assert labels == [(str(n), h) for n, h in enumerate(heads, 1) if n > 2 and n != trend]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (size(None), "?"),
        (size(0), "0 B"),
        (size(999), "999 B"),
        (size(1_000), "1.0 KiB"),
        (size(3_000_000), "2.9 MiB"),
        (size(5e15), "4,547.5 TiB"),
        (milliseconds(None), "?"),
        (milliseconds(0.00021), "0.2 ms"),
        (milliseconds(1.5), "1,500 ms"),
        (rate(None), "?"),
        (rate(0.0), "0"),
        (rate(0.04), "0.0"),
        (rate(1.25), "1.2"),
        (rate(1234.5), "1,234"),
    ],
)
def test_formatted_numbers(text: str, expected: str) -> None:
    assert text == expected

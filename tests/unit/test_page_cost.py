"""What a page of moving queues costs, in counts and bytes that do not depend on the machine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from exporter.bullmq import queue_of
from exporter.collectors.events.aggregator import Entry, EventAggregator
from exporter.collectors.queues import STATES
from exporter.config.models import Events
from exporter.exposition import Format, PageWriter, Variant, event_histograms, samples
from exporter.exposition.chunks import Chunk
from exporter.state.snapshots import EventFacts, QueueEvents
from exporter.state.workers import WorkerCount, WorkerFacts
from tests.support.factories import moment, snapshot_of
from tests.support.protobuf_pages import families
from tests.support.stopped_clock import StoppedClock
from tests.support.tables import queue_table

QUEUES = tuple(queue_of("bull", f"svc{row % 50:02d}-tasks-{row:05d}") for row in range(300))
JOBS = 5
"""Of each queue and poll, with four events each."""


class Moving:
    """Queues with new jobs at every poll, and the pages about them."""

    def __init__(self, histograms: str) -> None:
        options = Events.model_validate({"histograms": histograms})
        wait, run = map(options.classic_buckets, (options.wait_buckets, options.run_buckets))
        self._queues = [EventAggregator(wait, run, native=options.native_buckets) for _ in QUEUES]
        self._draw = random.Random(1)  # noqa: S311 - durations of jobs
        self._at = 1_700_000_000_000
        self._jobs = 0
        self._frozen: dict[int, QueueEvents] = {}
        self._writer = PageWriter()
        for _ in range(3):  # the series begin on the first pages
            self.poll(range(len(QUEUES)))

    def poll(self, rows: range) -> dict[Variant, bytes]:
        """The page in every variant after new jobs of these rows."""
        self._at += 5000
        for row in rows:
            aggregator = self._queues[row]
            aggregator.feed(self._entries())
            jobs = aggregator.frozen()
            self._frozen[row] = QueueEvents(jobs.added * 4, 0, {"": jobs}, self._at / 1000)
        events = {QUEUES[row]: each for row, each in self._frozen.items()}
        states = dict.fromkeys(STATES, 1) | {"oldest_waiting_seconds": self._at % 997}
        table = queue_table(QUEUES, [states | {"paused": 0} for _ in QUEUES])
        workers = WorkerFacts(dict.fromkeys(QUEUES, WorkerCount(2, 0)))
        facts = (table, workers, EventFacts(events, 0.0, 0))
        page = self._writer.write(moment(snapshot_of("api", *facts)))
        variants = [Variant(form, gzip) for form in Format for gzip in (False, True)]
        return {variant: page.body(variant) for variant in variants}

    def _entries(self) -> list[Entry]:
        entries: list[tuple[int, bytes, bytes]] = []
        for _ in range(JOBS):
            self._jobs += 1
            wait = round(self._draw.lognormvariate(5, 1))
            run = round(self._draw.lognormvariate(6, 0.5))
            times = (0, 0, wait, wait + run)
            for at, event in zip(
                times, (b"added", b"waiting", b"active", b"completed"), strict=True
            ):
                entries.append((self._at + at, event, b"%d" % self._jobs))
        return [
            (b"%d-%d" % (at, place), [b"event", event, b"jobId", job])
            for place, (at, event, job) in enumerate(sorted(entries, key=lambda each: each[0]))
        ]


def series(page: bytes) -> float:
    """Series of a queue where Prometheus takes native histograms."""
    return sum(len(family.metric) for family in families(page)) / len(QUEUES)


def durations(page: bytes) -> int:
    """Bytes of the histograms."""
    return sum(
        family.ByteSize()
        for family in families(page)
        if family.name.startswith("bullmq_queue_job_")
    )


PROTOBUF = Variant(Format.PROTOBUF, gzip=False)
TEXT = Variant(Format.TEXT, gzip=False)


@pytest.fixture(name="both", scope="module")
def moving_queues() -> Moving:
    return Moving("both")


def test_series_of_a_moving_queue() -> None:
    """Four native histograms are four series, four classic ones sixty."""
    pages = {kind: Moving(kind).poll(range(len(QUEUES))) for kind in ("classic", "native")}
    lines = pages["classic"][TEXT].count(b"\nbullmq_") / len(QUEUES)
    assert series(pages["native"][PROTOBUF]) <= 26
    assert lines - series(pages["native"][PROTOBUF]) == pytest.approx(60 - 4, abs=0.5)


def test_bytes_of_the_page(both: Moving) -> None:
    """Two thirds of the text are bucket lines; the labels of the other series take most of the
    protobuf."""
    classic = Moving("classic").poll(range(len(QUEUES)))
    pages = both.poll(range(len(QUEUES)))
    native = Moving("native").poll(range(len(QUEUES)))
    assert len(native[PROTOBUF]) <= 0.27 * len(classic[TEXT])
    assert len(pages[PROTOBUF]) <= 0.34 * len(classic[TEXT])
    assert durations(native[PROTOBUF]) <= 0.1 * sum(
        len(line) for line in classic[TEXT].splitlines() if line.startswith(b"bullmq_queue_job_")
    )
    gzipped = [
        len(page[Variant(form, gzip=True)])
        for page, form in (
            (native, Format.PROTOBUF),
            (pages, Format.PROTOBUF),
            (classic, Format.OPENMETRICS),
        )
    ]
    assert gzipped[0] <= gzipped[1] <= 0.7 * gzipped[2]


def test_only_histograms_with_new_observations_are_encoded(
    both: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nine tenths of the queues idle, that is most of the work; text encodes whole groups."""
    encoded = 0
    encode = event_histograms.histogram_message

    def count(*arguments: object) -> bytes:
        nonlocal encoded
        encoded += 1
        return encode(*arguments)

    monkeypatch.setattr(event_histograms, "histogram_message", count)
    for rows in (range(0, len(QUEUES), 10), range(len(QUEUES)), range(0)):
        encoded = 0
        both.poll(rows)
        # waiting, and running until completion; none fails, none is retried
        assert encoded == 2 * len(rows)


def test_only_columns_that_changed_are_encoded(
    clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At rest none; in an incident the ages of the waiting jobs; in motion also the counts."""
    encoded = 0
    deflate = samples.deflate

    def count(text: bytes) -> Chunk:
        nonlocal encoded
        encoded += 1
        return deflate(text)

    monkeypatch.setattr(samples, "deflate", count)
    writer, started = PageWriter(), time.monotonic()

    def pages(**columns: Callable[[int], float | None]) -> tuple[int, int]:
        """The columns that the second of two pages encodes, given the values of each poll, and how
        many queues it shows as blocked."""
        nonlocal encoded
        for poll in range(2):
            encoded = 0
            facts = {name: value(poll) for name, value in columns.items()}
            rows = [dict.fromkeys(STATES, 0) | facts for _ in QUEUES]
            # as a poller does, while no queue is new
            table = replace(queue_table(QUEUES, rows), queues=QUEUES)
            page = writer.write(moment(snapshot_of("api", table, WorkerFacts({}))))
            body = page.body(TEXT)
            clock.move(5)
        return encoded, body.count(b"\nbullmq_queue_blocked{")

    alone = {"worker_alive": lambda _: 0, "has_id": lambda _: 1}
    ready = {"ready_since": lambda _: started - 600, "still_since": lambda _: started - 600}
    assert pages() == (0, 0)
    blocked = {**alone, **ready, "waiting": lambda _: 9}
    assert pages(**blocked, oldest_waiting_seconds=lambda poll: 600.0 + 5 * poll) == (
        1,
        len(QUEUES),
    )
    moving = {**alone, "waiting": lambda poll: 7 + poll, "completed": lambda poll: poll}
    assert pages(**moving, oldest_waiting_seconds=lambda poll: 1.0 + poll) == (3, 0)

"""A Redis that answers anything to anything: the page stays a page, and no mistake is ours."""

from __future__ import annotations

import json
import time
from typing import Any

from hypothesis import given

from exporter.board import Board
from exporter.collectors import collectors_for
from exporter.config import Config, Events, load
from exporter.connection import ErrorClass
from exporter.exposition import PageWriter
from exporter.overview import overview
from exporter.polling import Poller
from exporter.web.health import redis_health
from tests.fuzz.answers import AnsweringClient, replies, victims
from tests.fuzz.pages import check_page
from tests.fuzz.profile import fuzz

FEW = {"wait_buckets": (1.0,), "run_buckets": (1.0,)}
DEFAULT = load(None, {"REDIS_URL": "redis://127.0.0.1:1/0"})
PLAIN = DEFAULT.model_copy(update={"events": Events(**FEW)})
SMALL = Events(job_names=True, max_job_names=1, max_inflight=1, **FEW)
NAMED = DEFAULT.model_copy(update={"events": SMALL})


def polled(config: Config, wanted: set[str], given_: list[Any], polls: int = 3) -> Board:
    board, client = Board(["default"]), AnsweringClient(wanted, given_)
    poller = Poller(config, ["default"], client, collectors_for(config), board)
    poller.poll_once()
    for _ in range(polls - 1):
        poller.poll()
    return board


def check(config: Config, board: Board) -> None:
    (snapshot,) = board.snapshots()
    mistakes = {
        name: report.problem
        for name, report in snapshot.reports.items()
        if report.errors.get(ErrorClass.INTERNAL)
    }
    assert mistakes == {}
    check_page(PageWriter(15, 60).write(board.snapshots()))
    answer, _ = redis_health(config, board.snapshots(), time.monotonic(), None)
    json.dumps(answer).encode()
    json.dumps(overview(board, config.poll).as_json(), allow_nan=False)


@fuzz(5)
@given(victims, replies)
def test_every_collector(wanted: set[str], given_: list[Any]) -> None:
    check(PLAIN, polled(PLAIN, wanted, given_))


@fuzz(2)
@given(victims, replies)
def test_with_job_names(wanted: set[str], given_: list[Any]) -> None:
    check(NAMED, polled(NAMED, wanted, given_))

"""Polls with fuzzed replies, and checks of everything that is derived from them."""

from __future__ import annotations

import json
from typing import Any

from exporter.collectors import collectors_for
from exporter.config.loader import load
from exporter.config.models import Config, Events
from exporter.connection import ErrorClass
from exporter.exposition import PageWriter
from exporter.polling import Poller
from exporter.state.store import SnapshotStore
from exporter.views.moment import moment_of
from exporter.views.overview import overview
from exporter.web.background import Known
from exporter.web.health import redis_health
from exporter.web.queues_health import QueuesQuery, queues_health
from tests.support.fuzzing.fuzzed_client import FuzzedClient
from tests.support.fuzzing.pages import check_page

FEW = {"wait_buckets": (1.0,), "run_buckets": (1.0,)}
DEFAULT = load(None, {"REDIS_URL": "redis://127.0.0.1:1/0"})
PLAIN = DEFAULT.model_copy(update={"events": Events(**FEW)})
SMALL = Events(job_names=True, max_job_names=1, max_inflight=1, **FEW)
NAMED = DEFAULT.model_copy(update={"events": SMALL})


def polled(config: Config, wanted: set[str], given_: list[Any], polls: int = 3) -> SnapshotStore:
    store, client = SnapshotStore(["default"]), FuzzedClient(wanted, given_)
    poller = Poller(config, ["default"], client, collectors_for(config), store)
    poller.poll_once()
    for _ in range(polls - 1):
        poller.poll()
    return store


def check(config: Config, store: SnapshotStore) -> None:
    (snapshot,) = store.snapshots()
    internal_errors = {
        name: report.last_error
        for name, report in snapshot.reports.items()
        if report.errors.get(ErrorClass.INTERNAL)
    }
    assert internal_errors == {}
    moment = moment_of(store, config)
    check_page(PageWriter().write(moment))
    known = Known(moment)
    answer, _ = redis_health(known)
    json.dumps(answer).encode()
    json.loads(queues_health(known, QueuesQuery()), parse_constant=_no_constant)
    json.dumps(overview(moment).as_json(), allow_nan=False)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")

"""`/health/redis/sync`: the result of the sync test as JSON. Pure: no I/O."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from exporter.config.models import Sync
from exporter.diagnosis import differing, explain_pair, verdict
from exporter.state.snapshots import Pair, SyncReport
from exporter.views.moment import Moment
from exporter.web.health import shown_metadata, shown_time

_STATUS = {True: "passed", False: "failed", None: "not permitted"}


def sync_health(moment: Moment) -> tuple[dict[str, Any], bool]:
    """The response, and whether the last round is fresh and no pair failed in it."""
    report = moment.stored.sync
    if report is None:
        return {"status": "starting", "verdict": "the first round has not finished yet"}, False
    fresh = report.fresh(moment.now)
    failed = any(pair.passed is False for pair in report.pairs)
    permitted = any(pair.passed is not None for pair in report.pairs)
    status = "failed" if failed else "passed" if permitted else "not permitted"
    health = {
        "status": status if fresh else "stale",
        "verdict": verdict(report.pairs, report.metadata, grouped=bool(moment.config.sync.groups)),
        "age_seconds": round(moment.now - report.at, 3),
        "finished_at": shown_time(report.time),
        "duration_seconds": round(report.seconds, 3),
        "pairs": [_pair(pair, report) for pair in report.pairs],
        "connections": {
            name: shown_metadata(metadata) for name, metadata in report.metadata.items()
        },
        "differences": _differences(report, moment.config.sync),
    }
    return health, fresh and not failed


def _pair(pair: Pair, report: SyncReport) -> dict[str, Any]:
    return {
        "writer": pair.writer,
        "reader": pair.reader,
        "status": _STATUS[pair.passed],
        "verdict": explain_pair(pair, report.metadata),
        "checks": {
            name: {"ok": check.ok, "seconds": round(check.seconds, 6), "detail": check.detail}
            for name, check in pair.checks.items()
        },
        "propagation_seconds": pair.propagation_seconds,
        "duration_seconds": round(pair.seconds, 6),
        "runs": pair.runs,
        "failures": pair.failures,
    }


def _differences(report: SyncReport, settings: Sync) -> list[dict[str, Any]]:
    """For each pair of connections that is tested, the metadata fields that differ, with both
    values.
    """
    differences = []
    for (a, known_a), (b, known_b) in combinations(report.metadata.items(), 2):
        if not settings.compares(a, b):
            continue
        fields = differing(known_a, known_b)
        values = {name: [getattr(known_a, name), getattr(known_b, name)] for name in fields}
        same = known_a.same_keyspace(known_b)
        differences.append({"connections": [a, b], "same_keyspace": same, "differing": values})
    return differences

"""Captured keyspaces of every BullMQ version, and loading one into a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import redis

FOLDER = Path(__file__).parent.parent / "fixtures"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def keyspace(name: str) -> dict[str, Any]:
    """A captured keyspace."""
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return loaded


def load_keyspace(client: redis.Redis, captured: dict[str, Any]) -> None:
    """Write every key as it was."""
    for entry in captured["keys"]:
        _write(client, entry["key"], entry["type"], entry["value"])
        if entry["ttl_ms"] > 0:
            client.pexpire(entry["key"], entry["ttl_ms"])


def _write(client: redis.Redis, key: str, kind: str, value: Any) -> None:
    if kind == "string":
        client.set(key, value)
    elif kind == "hash":
        client.hset(key, mapping=value)
    elif kind == "list":
        client.rpush(key, *value)
    elif kind == "set":
        client.sadd(key, *value)
    elif kind == "zset":
        client.zadd(key, dict(value))
    else:
        for entry_id, fields in value:
            client.xadd(key, fields, id=entry_id)


def expected_jobs(captured: dict[str, Any]) -> dict[tuple[str, str], int]:
    """BullMQ's own counts by queue and state; jobs of a paused queue count as waiting."""
    jobs: dict[tuple[str, str], int] = {}
    for queue, counts in captured["expected_counts"].items():
        for state, count in counts.items():
            key = (queue, "waiting" if state == "paused" else state)
            jobs[key] = jobs.get(key, 0) + count
    return jobs

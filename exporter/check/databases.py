"""Searches for queues in other databases of the server, in case the URL has the wrong one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from exporter.check.prefixes import other_prefixes
from exporter.connection import INFO, Client, RedisFailure, open_client

_MAX_DATABASES: Final = 4
_KEYS: Final = re.compile(rb"^db(\d{1,9}):keys=(\d{1,20})", re.MULTILINE)


def other_databases(client: Client, progress: Callable[[str], None]) -> dict[int, dict[str, int]]:
    """Databases with the number of queues by prefix: of those with keys, 0 and the largest.

    What may not be read is left out. Raises `RedisFailure` if the connection fails.
    """
    if client.settings.cluster:  # it has only one
        return {}
    found = {}
    for db in _with_keys(client)[:_MAX_DATABASES]:
        progress(f"searching database {db}")
        url = replace(client.settings.url, db=db)
        other = open_client(client.settings.model_copy(update={"url": url}), "check")
        try:
            other.connect()
            prefixes = other_prefixes(other, lambda _: None)
        except RedisFailure:
            continue
        finally:
            other.close()
        if prefixes:
            found[db] = prefixes
    return found


def _with_keys(client: Client) -> list[int]:
    """The other databases with keys, 0 first, then those with the most keys."""
    reply = client.batch(INFO.on(more=("keyspace",)), 1, INFO.limit).replies[0]
    found = _KEYS.findall(reply) if isinstance(reply, bytes) else ()
    keys = {int(db): int(number) for db, number in found}
    keys.pop(client.settings.url.db, None)
    return sorted(keys, key=lambda db: (db != 0, -keys[db]))


def wrong_number(own: int, found: Mapping[int, Mapping[str, int]]) -> str:
    """What the queues of other databases mean."""
    places = []
    for db, prefixes in found.items():
        names = ", ".join(f"{prefix}: ({n})" for prefix, n in prefixes.items())
        places.append(f"database {db} has queues under {names}")
    text = "; ".join(places)
    if 0 in found:
        return (
            f"{text}: use 0 here, or correct the connection of BullMQ, which ignores a URL that is "
            "a string, before 5.13.1 also `{url}`, and then uses database 0 of 127.0.0.1:6379"
        )
    return f"{text}: correct the number at the end of the URL, which is {own}"

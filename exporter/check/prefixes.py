"""Searches for queues under other prefixes, in case the configured prefix is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from exporter.bullmq import JOB_FIELDS
from exporter.collectors.discovery import SCAN
from exporter.connection import Client, Command

_MAX_PAGES: Final = 1000
_PAGE_KEYS: Final = 1000
_MAX_CANDIDATES: Final = 20
_PATTERN: Final = "*:meta"
_META_FIELDS: Final = ("opts.maxLenEvents", "version", "paused")
_FIELDS: Final = Command("HMGET", "", (*_META_FIELDS, *JOB_FIELDS), list)


def other_prefixes(client: Client, progress: Callable[[int], None]) -> dict[str, int]:
    """Prefixes with their number of queues, from the `meta` keys among the first million keys.

    A queue's `meta` is a hash with `opts.maxLenEvents`, `version` or `paused` and no field of a
    job. The prefix is the part of the key before the last two. `progress` receives the number of
    pages read. Raises `RedisFailure`.
    """
    meta_keys: dict[str, list[bytes]] = {}
    pages = 0
    for node in client.nodes:
        cursor = None
        while pages < _MAX_PAGES and cursor != b"0":
            more = (cursor or 0, "MATCH", _PATTERN, "COUNT", _PAGE_KEYS)
            cursor, keys = node.call(SCAN.on(more=more), SCAN.limit)
            pages += 1
            for key in keys:
                prefix, _, name = key.removesuffix(b":meta").rpartition(b":")
                if prefix and name:
                    meta_keys.setdefault(prefix.decode("utf-8", "backslashreplace"), []).append(key)
            progress(pages)
    counts: Counter[str] = Counter()
    for prefix in sorted(meta_keys, key=lambda prefix: -len(meta_keys[prefix]))[:_MAX_CANDIDATES]:
        if _is_queue(client, meta_keys[prefix][0]):
            counts[prefix] = len(set(meta_keys[prefix]))
    return dict(counts.most_common())


def _is_queue(client: Client, key: bytes) -> bool:
    reply = client.batch(_FIELDS.on(key), 1, _FIELDS.limit).replies[0]
    if not isinstance(reply, list):
        return False
    return any(reply[: len(_META_FIELDS)]) and not any(reply[len(_META_FIELDS) :])

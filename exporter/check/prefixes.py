"""Where else queues are, for those who look under the wrong prefix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from exporter.bullmq import JOB_FIELDS
from exporter.collectors.discovery import SCAN
from exporter.connection import Client, Command

_MOST_PAGES: Final = 1000
_PAGE: Final = 1000
_MOST_CANDIDATES: Final = 20
_PATTERN: Final = "*:meta"
_OWN: Final = ("opts.maxLenEvents", "version", "paused")
_FIELDS: Final = Command("HMGET", "", (*_OWN, *JOB_FIELDS), list)


def other_prefixes(client: Client, progress: Callable[[int], None]) -> dict[str, int]:
    """Prefixes with their number of queues, found by `meta` among the first million keys.

    A queue's `meta` is a hash with `opts.maxLenEvents`, `version` or `paused` and none of a job's
    fields. A prefix is taken to be what stands before the last two parts of the key. `progress`
    is told the pages read. Raises `RedisFailure`.
    """
    found: dict[str, list[bytes]] = {}
    pages = 0
    for node in client.nodes:
        cursor = None
        while pages < _MOST_PAGES and cursor != b"0":
            cursor, keys = node.call(SCAN.on(more=(cursor or 0, "MATCH", _PATTERN, "COUNT", _PAGE)))
            pages += 1
            for key in keys:
                prefix, _, name = key.removesuffix(b":meta").rpartition(b":")
                if prefix and name:
                    found.setdefault(prefix.decode("utf-8", "backslashreplace"), []).append(key)
            progress(pages)
    counts: Counter[str] = Counter()
    for prefix in sorted(found, key=lambda prefix: -len(found[prefix]))[:_MOST_CANDIDATES]:
        if _is_queue(client, found[prefix][0]):
            counts[prefix] = len(set(found[prefix]))
    return dict(counts.most_common())


def _is_queue(client: Client, key: bytes) -> bool:
    reply = client.batch(_FIELDS.on(key), 1).replies[0]
    if not isinstance(reply, list):
        return False
    return any(reply[: len(_OWN)]) and not any(reply[len(_OWN) :])

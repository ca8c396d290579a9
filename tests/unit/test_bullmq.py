"""BullMQ's keys, markers and settings."""

from __future__ import annotations

import fnmatch

import pytest

from exporter.bullmq import (
    QueueSettings,
    jobs_in_list,
    queue_of,
    queue_settings,
    scan_pattern,
    split_queue_key,
)


@pytest.mark.parametrize(
    ("length", "head", "tail", "jobs"),
    [
        (0, None, None, 0),
        (1, b"1", b"1", 1),
        (1, b"0:0", b"0:0", 0),
        (1, b"0:1795489200000.5", b"0:1795489200000.5", 0),
        (2, b"2", b"0:1795489200000", 1),
        (2, b"0:1795489200000", b"2", 1),
        (2, b"0:0", b"0:1795489200000", 0),
        (3, b"10:5", b"abc", 3),
        (1, b"0", b"0", 0),
        (2, b"2", b"0", 1),
        (2, b"0", b"2", 1),
        (1, b"00", b"00", 1),
        (1, b"10", b"10", 1),
        # the list became shorter between the reads of its length and of its ends
        (1, None, None, 1),
    ],
)
def test_markers_do_not_count_as_jobs(length: int, head: object, tail: object, jobs: int) -> None:
    assert jobs_in_list(length, head, tail) == jobs


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        (b"bull:mail:meta", (b"bull", b"mail", "meta")),
        (b"bull:a:b:id", (b"bull", b"a:b", "id")),
        (b"bull:mail:stalled-check", (b"bull", b"mail", "stalled-check")),
        (b"bull:eu:mail:id", (b"bull:eu", b"mail", "id")),
        (b"{bull}:mail:id", (b"{bull}", b"mail", "id")),
        (b"bull:\xff:id", (b"bull", b"\xff", "id")),
        (b"bull::id", None),
        (b"bull::relay:id", None),
        (b"bull:mail:stalled", None),
        (b"bull:id", None),
        (b"other:mail:id", None),
        (b"bullet:mail:id", None),
    ],
)
def test_split_queue_key(key: bytes, parts: object) -> None:
    assert split_queue_key(key, (b"bull:eu", b"{bull}", b"bull")) == parts


@pytest.mark.parametrize(
    ("prefixes", "pattern"),
    [
        (("bull",), "bull:*:[ims][det]*"),
        (("bull:eu", "bull:us"), "bull:*:[ims][det]*"),
        (("bull", "bullmq"), "bull*:[ims][det]*"),
        (("a", "b"), "*:[ims][det]*"),
        (("{b}*?[x]\\",), "{b}\\*\\?\\[x\\]\\\\:*:[ims][det]*"),
    ],
)
def test_one_scan_pattern_covers_all_prefixes(prefixes: tuple[str, ...], pattern: str) -> None:
    assert scan_pattern(prefixes) == pattern
    if "\\" not in pattern:
        for prefix in prefixes:
            for kind in ("meta", "id", "stalled-check"):
                assert fnmatch.fnmatchcase(f"{prefix}:q:{kind}", pattern)


def test_queue_settings() -> None:
    settings = queue_settings([b"bullmq:6.7.0", b"5", b"x"])
    assert settings == QueueSettings("bullmq:6.7.0", concurrency=5)


@pytest.mark.parametrize(
    ("version", "may"),
    [("", True), ("bullmq:3.16.2", True), ("bullmq:4.18.3", True), ("bullmq:5.0.0", False)]
    + [("bullmq:10.1.0", False), ("bullmq-pro:7.1.0", True), ("nonsense", True)],
)
def test_versions_that_may_leave_markers(version: str, may: bool) -> None:
    assert QueueSettings(version).may_have_markers is may


def test_key_of_a_queue() -> None:
    assert queue_of("my:app", "mail").key == b"my:app:mail:"

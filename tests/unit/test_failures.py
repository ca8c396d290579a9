"""Classes of failures: what reasons have in common, and never anything of a payload."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.parsing import OTHER
from exporter.state.failures import (
    _CODES,
    _WORDS,
    UNCLASSIFIED,
    FailureClasses,
    example,
    failure_class,
    redacted,
)

REASONS = {
    "TypeError: Cannot read properties of undefined (reading 'foo')": (
        "TypeError: cannot read properties of undefined reading"
    ),
    "Timeout of 5000ms exceeded": "timeout of … exceeded",
    "connect ECONNREFUSED 127.0.0.1:6379": "connect ECONNREFUSED",
    "getaddrinfo ENOTFOUND api.example.com": "ENOTFOUND",
    "Request failed with status code 500": "request failed with status code",
    "job stalled more than allowable limit": "job stalled more than allowable limit",
    "ENOENT: no such file or directory, open '/srv/x'": "ENOENT no such file or directory open",
    "Unexpected token < in JSON at position 0": "unexpected token in JSON at position",
    "can't send mail to alice@example.com": "can't send mail to",
    "user alice has no email": "user … has no email",
    'duplicate key "users_pkey"': "duplicate key",
    "https://user:secret@example.com/a failed": "failed",
    "Cannot find module '/srv/app/x.js' imported from /srv/app/y.js": "cannot find module … from",
    "MyApp.Api.QuotaError: limit reached": "MyApp.Api.QuotaError: limit reached",
    "Error: boom": "Error",
    "first line failed\n    at secret (/srv/x.js:1:2)": "first line failed",
    '{"error": "user not found"}': UNCLASSIFIED,
    "alice": UNCLASSIFIED,
    "": UNCLASSIFIED,
}


@pytest.mark.parametrize(("reason", "expected"), REASONS.items())
def test_classes(reason: str, expected: str) -> None:
    assert failure_class(reason.encode()) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "Order {} not found",
        "order '{}' not found",
        'user "{}" is disabled',
        "could not open /data/{}/x",
        "GET https://example.com/{} failed",
        "timeout after {} ms",
        "[{}] invalid input",
    ],
)
@pytest.mark.parametrize("payload", ["17", "4f1c-77", "d2719a2b-0f4e-4a8e-9b3a-2f6f2c8f9a10"])
def test_payloads_do_not_make_classes(pattern: str, payload: str) -> None:
    assert failure_class(pattern.format(payload).encode()) == failure_class(
        pattern.format("1").encode()
    )


def known(part: str) -> bool:
    name = re.fullmatch(r"(?:[A-Z]\w*\.){0,3}\w*(Error|Exception|Timeout|Failure|Warning):?", part)
    return part == "…" or part in _WORDS or part in _CODES or name is not None


@given(st.text() | st.lists(st.sampled_from(sorted(REASONS)) | st.text(max_size=9)).map(" ".join))
def test_no_class_has_anything_but_known_words(reason: str) -> None:
    found = failure_class(reason.encode("utf-8", "replace"))
    assert found == UNCLASSIFIED or all(known(part) for part in found.split())
    assert all(known(part) for part in redacted(reason).split())
    classes = FailureClasses(1)
    classes.add(reason.encode("utf-8", "replace"), b"1", 1000)  # which ignores the digits first
    assert set(classes.frozen()) == {found}


class TestClasses:
    def test_counts_and_times(self) -> None:
        classes = FailureClasses(5)
        classes.add(b"Order 1 not found", b"a", 1000)
        classes.add(b"Order 2 not found", b"b", 3000)
        ((name, found),) = classes.frozen().items()
        assert name == "order … not found"
        assert (found.count, found.first_ms, found.last_ms, found.job) == (2, 1000, 3000, b"b")
        assert example(found, in_full=False) == "order … not found"
        assert example(found, in_full=True) == "Order 2 not found"

    def test_beyond_the_maximum(self) -> None:
        classes = FailureClasses(2)
        for number, reason in enumerate((b"failed", b"invalid", b"timeout", b"denied", b"failed")):
            classes.add(reason, b"1", number)
        counts = {name: found.count for name, found in classes.frozen().items()}
        assert counts == {"failed": 2, "invalid": 1, OTHER: 2}

    def test_frozen_is_the_same_until_the_next_failure(self) -> None:
        classes = FailureClasses(2)
        classes.add(b"failed", b"1", 1)
        before = classes.frozen()
        assert classes.frozen() is before
        classes.add(b"failed", b"2", 2)
        assert before["failed"].count == 1

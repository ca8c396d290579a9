"""A Redis that replies anything to any command: the page stays valid, without internal errors."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from tests.support.fuzzing.fuzzed_client import replies, victims
from tests.support.fuzzing.polls import NAMED, PLAIN, check, polled
from tests.support.fuzzing.profile import fuzz


@fuzz(5)
@given(victims, replies)
def test_any_replies_to_every_collector(wanted: set[str], given_: list[Any]) -> None:
    check(PLAIN, polled(PLAIN, wanted, given_))


@fuzz(2)
@given(victims, replies)
def test_any_replies_with_job_names(wanted: set[str], given_: list[Any]) -> None:
    check(NAMED, polled(NAMED, wanted, given_))

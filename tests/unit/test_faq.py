"""Each answer in docs/faq.md is verified by a test."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "docs" / "faq.md").read_text()

# the start of each question, and the tests that verify its answer
VERIFIED_BY = {
    "Why does the completed count": ["e2e/test_events.py::test_counters_of_bullmq_for_node"],
    "How many jobs failed": [
        "e2e/test_dashboards_live.py::test_numbers_of_a_known_load",
        "integration/test_events.py::test_events_before_the_start_do_not_count",
    ],
    "Why are there no durations": [
        "integration/test_events.py::test_a_queue_without_a_stream_has_no_samples",
        "integration/test_events.py::test_a_queue_with_events_turned_off_has_no_samples",
        "e2e/test_managed.py::test_a_refused_command_has_the_documented_effect",
    ],
    "Do I have to keep finished jobs": [
        "e2e/test_events.py::test_counters_of_bullmq_for_node",
        "integration/test_events.py::test_the_name_comes_from_the_event_or_the_job",
    ],
    "Why does the exporter find no queues": ["e2e/test_check.py::test_queues_under_another_prefix"],
    "Why are my jobs in database 0": [
        "e2e/test_bullmq.py::test_the_database_of_a_url_counts_unless_it_is_a_string",
        "e2e/test_check.py::test_queues_in_database_0",
    ],
    "Why does no worker take": [
        "e2e/test_blocked.py::test_no_workers_and_then_one",
        "e2e/test_blocked.py::test_the_founding_case",
    ],
    "Jobs are active for hours": [
        "e2e/test_blocked.py::test_a_worker_that_is_busy_for_long_is_no_fault",
        "e2e/test_blocked.py::test_a_frozen_worker",
        "e2e/test_events.py::test_the_job_of_a_killed_worker_stalls",
    ],
    "How do I see delayed jobs": ["integration/test_ages.py::test_delayed_jobs"],
    "Why is the number of workers": [
        "e2e/test_managed.py::test_a_refused_command_has_the_documented_effect",
        "e2e/test_cluster.py::test_live_queues_under_two_tags",
    ],
    "Why does the waiting count": [
        "integration/test_queues.py::test_before_6_the_list_is_renamed",
        "integration/test_queues.py::test_are_not_counted",
    ],
    "Does it support Bull": [
        "integration/test_fixtures.py::test_counts_equal_the_librarys_own",
        "e2e/test_bullmq.py::test_counts_of_bullmq_for_python",
        "e2e/test_sentinel.py::test_a_failover_is_followed",
        "e2e/test_cluster.py::test_live_queues_under_two_tags",
        "e2e/test_access.py::test_with_a_ca_a_client_certificate_and_a_server_name",
    ],
    "What does the exporter not show": [
        "integration/test_queues.py::test_groups_of_bullmq_pro",
        "unit/test_bullmq.py::test_split_queue_key",
        "integration/test_queues.py::test_the_rate_limit_window",
    ],
    "Does it slow down": [
        "e2e/test_access.py::test_the_exporter_sends_only_declared_commands",
        "integration/test_sync.py::test_every_key_has_a_ttl_from_the_start",
        "e2e/test_reload.py::test_the_sync_test_can_be_turned_off_and_on",
    ],
    "Do my services have to change": [
        "integration/test_discovery.py::test_each_of_the_three_keys_reveals_a_queue",
        "integration/test_queues.py::test_a_queue_that_is_gone_goes_with_the_next_poll",
    ],
    "How do I protect /metrics": [
        "e2e/test_web.py::test_valid_credentials_are_accepted",
        "e2e/test_web.py::test_invalid_credentials_are_rejected",
        "e2e/test_web.py::test_probes_need_no_credentials",
    ],
    "How do I reduce the number of series": [
        "integration/test_events.py::test_names_above_the_maximum_count_as_other",
        "integration/test_discovery.py::test_include_and_exclude",
        "integration/test_discovery.py::test_queues_above_the_maximum_are_counted",
    ],
    "How do I monitor": [
        "e2e/test_daemon.py::test_redis_absent_at_start",
        "integration/test_events.py::test_losses_are_exact_with_entries_added",
        "e2e/test_rules.py::test_every_alert_has_a_firing_and_a_silent_case",
    ],
}
QUESTIONS = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)


@cache
def functions(file: str) -> frozenset[str]:
    return frozenset(re.findall(r"def (test_\w+)\(", (TESTS / file).read_text()))


def test_every_question_has_tests() -> None:
    found = [begin for question in QUESTIONS for begin in VERIFIED_BY if question.startswith(begin)]
    assert found == list(VERIFIED_BY)
    assert len(found) == len(QUESTIONS)


@pytest.mark.parametrize("test", sorted({test for tests in VERIFIED_BY.values() for test in tests}))
def test_named_tests_exist(test: str) -> None:
    file, _, name = test.partition("::")
    assert name in functions(file)

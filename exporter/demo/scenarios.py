"""The demo's scenarios: to add one, add a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exporter.demo.loads import HEALTHY, JobKind, Load, healthy_but

PRODUCERS: Final = "producers"
"""The process of the producers; those of the workers are named by their loads."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """The worker process of a queue is frozen (SIGSTOP), for ever."""

    queue: str
    after_seconds: float
    """Since its first job."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A queue is paused, for ever."""

    queue: str
    after_seconds: float


@dataclass(frozen=True, slots=True)
class Outages:
    """Redis is killed (SIGKILL) and comes back with its data, again and again."""

    after_seconds: float
    """Until the first."""
    down_seconds: float
    up_seconds: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """Live traffic, and what goes wrong with it."""

    name: str
    summary: str
    """What happens, in one line."""
    look: tuple[str, ...]
    """What to look for, in a few lines."""
    loads: tuple[Load, ...] = HEALTHY
    fault: Freeze | Pause | Outages | None = None
    connections: tuple[str, ...] = ("default",)
    """A server for each: producers use the first, workers the last."""


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "healthy",
            "everything flows: delays, priorities, retries, a scheduler, a flow",
            (
                "bullmq_queue_blocked has no sample",
                "bullmq_queue_oldest_waiting_seconds stays near 0",
                "rate(bullmq_jobs_completed_total[1m]), by queue and job_name",
            ),
        ),
        Scenario(
            "busy",
            "images gets more work than its workers can do: a backlog that grows",
            (
                'bullmq_queue_jobs{queue="images",state="waiting"} grows from about 1500',
                'bullmq_queue_oldest_waiting_seconds{queue="images"} grows too',
                "bullmq_queue_blocked has no sample: its jobs still finish",
            ),
            loads=healthy_but(
                "images",
                kinds=(JobKind("thumbnail"),),
                every_seconds=0.2,
                work_seconds=0.8,
                concurrency=2,
                backlog=1500,
            ),
        ),
        Scenario(
            "failing",
            "most jobs of payments fail for good",
            (
                'bullmq_jobs_failed_total{queue="payments"}, four of every five jobs that finish',
                'bullmq_jobs_retried_total{queue="payments"}, attempts that are tried again',
                'bullmq_job_run_seconds{queue="payments"}, by outcome',
            ),
            loads=healthy_but(
                "payments",
                kinds=(
                    JobKind("charge"),
                    JobKind("refund", {"attempts": 2, "backoff": {"type": "fixed", "delay": 1000}}),
                ),
                every_seconds=0.4,
                failing=0.8,
            ),
        ),
        Scenario(
            "stuck",
            "the worker process of reports is frozen while jobs come: connected, but not working",
            (
                'bullmq_queue_blocked{queue="reports",reason="workers_idle"}, some 20 s from now',
                'bullmq_queue_workers{queue="reports"} is still 1',
                'bullmq_queue_oldest_active_seconds{queue="reports"} grows',
                'bullmq_queue_delayed_overdue_seconds{queue="reports"} grows',
            ),
            loads=healthy_but("reports", every_seconds=0.7, work_seconds=1.5),
            fault=Freeze("reports", after_seconds=4),
        ),
        Scenario(
            "isolation",
            "the API adds jobs to one Redis, the workers listen on another",
            (
                'bullmq_queue_blocked{connection="api",reason="worker_isolated"}',
                'bullmq_worker_isolation{producer_connection="api",worker_connection="worker"}',
                'bullmq_sync_success{writer="api",reader="worker"} is 0',
                "/health/redis/sync says why",
            ),
            connections=("api", "worker"),
        ),
        Scenario(
            "paused",
            "emails is paused while jobs come",
            (
                'bullmq_queue_paused{queue="emails"} is 1',
                'bullmq_queue_blocked{queue="emails",reason="paused"}',
                'bullmq_queue_jobs{queue="emails",state="waiting"} grows',
            ),
            fault=Pause("emails", after_seconds=4),
        ),
        Scenario(
            "outage",
            "Redis is killed and comes back, again and again; everyone else survives",
            (
                "bullmq_up is 0 for 40 s from the 20th second on, then 1 for 40 s, and so on",
                "the samples of its queues are absent while it is down, not 0",
                "/health/redis says what is wrong",
            ),
            fault=Outages(after_seconds=20, down_seconds=40, up_seconds=40),
        ),
    )
}
"""By name, in the order in which they are shown."""

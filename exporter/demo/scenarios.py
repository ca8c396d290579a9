"""The demo's scenarios; add one here to extend the demo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exporter.demo.loads import HEALTHY, JobKind, Load, healthy_but

PRODUCERS: Final = "producers"
"""The name of the producers' process; worker processes are named in the loads."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """Freezes the worker process of a queue permanently (SIGSTOP)."""

    queue: str
    after_seconds: float
    """Time since the worker's first job."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Pauses a queue permanently."""

    queue: str
    after_seconds: float


@dataclass(frozen=True, slots=True)
class LostChildren:
    """Deletes the children of some flows, as an eviction or a script that deletes keys does."""

    queue: str
    """The queue of the parents; its load has the flow."""
    every_seconds: float
    """Time between two of these flows."""


@dataclass(frozen=True, slots=True)
class PoisonJob:
    """Adds a job that ends each worker process that starts it; the process starts again."""

    queue: str
    name: str
    """The name of the job."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """Deletes the delayed jobs of a queue again and again, without BullMQ."""

    queue: str
    every_seconds: float
    """Time until the first deletion, and between two."""


@dataclass(frozen=True, slots=True)
class Outages:
    """Kills Redis repeatedly (SIGKILL) and restarts it with its data."""

    after_seconds: float
    """Time until the first outage."""
    down_seconds: float
    up_seconds: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """Live traffic with at most one fault."""

    name: str
    summary: str
    """What happens, in one line."""
    symptoms: tuple[str, ...]
    """What to look for, one line each."""
    loads: tuple[Load, ...] = HEALTHY
    fault: Freeze | Pause | Deletion | Outages | LostChildren | PoisonJob | None = None
    connections: tuple[str, ...] = ("default",)
    """One server per connection: producers use the first, workers the last."""


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "healthy",
            "healthy queues with delays, priorities, retries, a scheduler and a flow",
            (
                "bullmq_queue_blocked has no samples",
                "bullmq_queue_oldest_waiting_seconds stays near 0",
                "rate(bullmq_queue_jobs_completed_total[1m]), by queue and job_name",
            ),
        ),
        Scenario(
            "busy",
            "images gets more jobs than its worker can process, so its backlog grows",
            (
                'bullmq_queue_size{queue="images",state="waiting"} grows from about 1500',
                'bullmq_queue_oldest_waiting_seconds{queue="images"} grows too',
                "bullmq_queue_blocked has no samples, since jobs still finish",
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
            "most jobs of payments fail permanently",
            (
                'bullmq_queue_jobs_failed_total{queue="payments"} counts four of five jobs',
                'bullmq_queue_jobs_retried_total{queue="payments"} grows too',
                'bullmq_queue_job_run_seconds{queue="payments"}, by outcome',
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
            "duplicates",
            "the producer of emails adds the same job ID again and again, and BullMQ ignores it",
            (
                'bullmq_queue_jobs_duplicated_total{queue="emails"} counts two of three adds',
                'bullmq_queue_jobs_added_total{queue="emails"} counts the others',
                "bullmq_queue_blocked has no samples: nobody else notices",
            ),
            loads=healthy_but(
                "emails",
                kinds=(
                    JobKind("welcome"),
                    JobKind("digest", {"jobId": "digest"}),
                    JobKind("digest", {"jobId": "digest"}),
                ),
            ),
        ),
        Scenario(
            "flow",
            "the children of some albums are deleted, so that their parents wait for ever",
            (
                'bullmq_queue_stuck_jobs{queue="albums",kind="parent"} in about 20 s',
                'bullmq_queue_size{queue="albums",state="waiting-children"} grows',
                "the status page names the parents, with proof; other albums are completed",
            ),
            fault=LostChildren("albums", every_seconds=4),
        ),
        Scenario(
            "poison",
            "a job of reports ends each worker process that starts it, again and again",
            (
                'bullmq_queue_stuck_jobs{queue="reports",kind="poison"} in about 40 s',
                'bullmq_queue_jobs_stalled_total{queue="reports"} grows',
                "the status page names the job, and how often it stalled",
            ),
            # one job at a time, so that it takes no others with it
            loads=healthy_but("reports", every_seconds=4, work_seconds=0.3, concurrency=1),
            fault=PoisonJob("reports", "corrupt"),
        ),
        Scenario(
            "lost",
            "a clean-up script deletes the delayed jobs of emails, and nobody else notices",
            (
                'bullmq_queue_jobs_unaccounted{queue="emails"} grows every 10 s',
                "the status page says that Redis evicted none of their keys",
                "bullmq_queue_blocked has no samples: all other jobs are processed",
            ),
            fault=Deletion("emails", every_seconds=10),
        ),
        Scenario(
            "stuck",
            "the worker of reports is frozen: it is connected but processes no jobs",
            (
                'bullmq_queue_blocked{queue="reports",reason="workers_idle"} in about 20 s',
                'bullmq_queue_workers{queue="reports"} is still 1',
                'bullmq_queue_oldest_active_seconds{queue="reports"} grows',
                'bullmq_queue_delayed_overdue_seconds{queue="reports"} grows',
            ),
            loads=healthy_but("reports", every_seconds=0.7, work_seconds=1.5),
            fault=Freeze("reports", after_seconds=4),
        ),
        Scenario(
            "isolation",
            "the API adds jobs to one Redis, but the workers listen on another",
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
            "emails is paused while jobs are added",
            (
                'bullmq_queue_paused{queue="emails"} is 1',
                'bullmq_queue_blocked{queue="emails",reason="paused"}',
                'bullmq_queue_size{queue="emails",state="waiting"} grows',
            ),
            fault=Pause("emails", after_seconds=4),
        ),
        Scenario(
            "outage",
            "Redis is killed and restarted repeatedly; everything else keeps running",
            (
                "after 20 s, bullmq_up alternates: 0 for 40 s, then 1 for 40 s",
                "the samples of its queues are absent while it is down, not 0",
                "/health/redis shows the error",
            ),
            fault=Outages(after_seconds=20, down_seconds=40, up_seconds=40),
        ),
    )
}
"""The scenarios by name, in display order."""

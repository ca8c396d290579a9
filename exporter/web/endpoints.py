"""The endpoints that people and machines are sent to."""

from __future__ import annotations

from typing import Final

LINKS: Final = (
    ("/metrics", "What Prometheus scrapes, in text 0.0.4 and OpenMetrics."),
    (
        "/health/redis",
        (
            "Every connection: status, whom it reaches, latency, memory, BullMQ keys, last error. "
            "200 if all are up, else 503."
        ),
    ),
    (
        "/health/redis/sync",
        (
            "The sync test: whether every connection sees what the others write, step by step, "
            "and in what they differ. 200 if all passed, else 503."
        ),
    ),
    (
        "/health/queues",
        "Every queue: jobs by state, how late, workers, and the reason where its work is blocked.",
    ),
    ("/-/healthy", "200 while the exporter itself works, whatever Redis does."),
    ("/-/ready", "200 once every connection has been tried."),
)

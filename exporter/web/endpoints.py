"""The list of HTTP endpoints, for the routes, the status page, the README and the demo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """An HTTP endpoint; its handler in routes.py has the same name."""

    name: str
    path: str
    summary: str
    """A few words for the demo's output."""
    meaning: str
    """What it returns, in a sentence or two."""
    media: str = ""
    """The media type of its responses; a client that does not accept it gets 406."""
    method: str = "GET"
    needs_queue: bool = False
    """Whether it takes the name of a queue, without which it is an error."""

    @property
    def shown(self) -> str:
        """As in the documentation: `POST /-/reload`, `/metrics`."""
        return self.path if self.method == "GET" else f"{self.method} {self.path}"


ENDPOINTS: Final = (
    HttpEndpoint(
        "status",
        "/",
        "the status page",
        "The status page: overall status, connections and queues.",
        "text/html",
    ),
    HttpEndpoint(
        "metrics",
        "/metrics",
        "metrics for Prometheus",
        "Metrics for Prometheus, as text 0.0.4, OpenMetrics or protobuf, gzipped on request.",
    ),
    HttpEndpoint(
        "redis",
        "/health/redis",
        "every connection in detail",
        "Every connection: status, server, latency, memory, BullMQ keys, last error. 200 if all "
        "are up, else 503. `?connection=NAME` returns only one.",
        "application/json",
    ),
    HttpEndpoint(
        "sync",
        "/health/redis/sync",
        "which connections see the same data",
        "The sync test: whether every connection sees what the others of its group write, check by "
        "check, and how they differ. 200 if all passed, else 503; 404 if it is disabled.",
        "application/json",
    ),
    HttpEndpoint(
        "queues",
        "/health/queues",
        "every queue, and why it is blocked",
        "The verdict, and every queue: jobs by state, ages, workers, and why it is blocked. "
        "`?connection=`, `?prefix=` and `?queue=` choose; `?limit=` and `?after=` return a page.",
        "application/json",
    ),
    HttpEndpoint(
        "queue_page",
        "/queue",
        "the page of a queue",
        "The page of the queue `?name=`: why it is blocked and since when, the last hour, workers, "
        "failures, commands. `?connection=` and `?prefix=` where the name is not enough.",
        "text/html",
        needs_queue=True,
    ),
    HttpEndpoint(
        "queue",
        "/health/queue",
        "a queue in detail",
        "The same as JSON.",
        "application/json",
        needs_queue=True,
    ),
    HttpEndpoint(
        "scale",
        "/scale",
        "numbers of a queue for autoscalers",
        "What an autoscaler needs of `?queue=`: backlog, rates, workers, drain time, and the "
        "workers needed to drain it within `?drain_seconds=`. `?connection=` and `?prefix=` where "
        "the name is not enough.",
        "application/json",
        needs_queue=True,
    ),
    # no media type: a probe's Accept header must not affect the result
    HttpEndpoint(
        "healthy",
        "/-/healthy",
        "liveness probe",
        "200 while the exporter itself works, regardless of Redis.",
    ),
    HttpEndpoint(
        "ready",
        "/-/ready",
        "readiness probe",
        "200 once `/metrics` shows a try of every connection, or it had the time of its timeouts.",
    ),
    HttpEndpoint(
        "reload",
        "/-/reload",
        "reload",
        "Reloads the configuration if `web.enable_lifecycle` is on.",
        method="POST",
    ),
    HttpEndpoint(
        "discover",
        "/-/discover",
        "discovery",
        "Looks for queues at the next poll if `web.enable_lifecycle` is on.",
        method="POST",
    ),
)

OPEN_PATHS: Final = frozenset({"/-/healthy", "/-/ready"})
"""Accessible without credentials for probes; they reveal only connection names."""

PATHS: Final = frozenset(endpoint.path for endpoint in ENDPOINTS)


def markdown() -> str:
    """The README's table."""
    rows = [f"| `{endpoint.shown}` | {endpoint.meaning} |" for endpoint in ENDPOINTS]
    return "\n".join(["| path | response |", "| --- | --- |", *rows])

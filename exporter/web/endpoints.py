"""The HTTP endpoints, listed once: routes, links, the README's table and the demo's welcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """A path that answers; its handler has the same name as it has here."""

    name: str
    path: str
    summary: str
    """What it is, in a few words."""
    meaning: str
    """What it answers, in a sentence or two."""
    media: str = ""
    """The type of its answers, where a client may refuse it with 406."""
    method: str = "GET"

    @property
    def shown(self) -> str:
        """As documentation writes it: `POST /-/reload`, `/metrics`."""
        return self.path if self.method == "GET" else f"{self.method} {self.path}"


ENDPOINTS: Final = (
    HttpEndpoint(
        "status",
        "/",
        "the status page",
        "The status page: the verdict, every connection, every queue.",
        "text/html",
    ),
    HttpEndpoint(
        "metrics",
        "/metrics",
        "what Prometheus scrapes",
        "The samples that Prometheus scrapes, in text 0.0.4 or OpenMetrics, gzipped on request.",
    ),
    HttpEndpoint(
        "redis",
        "/health/redis",
        "the connections in detail",
        "Every connection: status, the server it reaches, latency, memory, BullMQ keys, last "
        "error. 200 if all are up, else 503. `?connection=NAME` for one.",
        "application/json",
    ),
    HttpEndpoint(
        "sync",
        "/health/redis/sync",
        "which connections see the same data",
        "The sync test: whether every connection sees what the others write, step by step, and in "
        "what they differ. 200 if all passed, else 503; 404 if it is disabled.",
        "application/json",
    ),
    HttpEndpoint(
        "queues",
        "/health/queues",
        "every queue, and why its work does not move",
        "Every queue: jobs by state, ages, workers, and the reason where its work is blocked.",
        "application/json",
    ),
    # what a probe accepts says nothing of the exporter's health
    HttpEndpoint(
        "healthy",
        "/-/healthy",
        "liveness probe",
        "200 while the exporter itself works, whatever Redis does.",
    ),
    HttpEndpoint(
        "ready", "/-/ready", "readiness probe", "200 once every connection has been tried."
    ),
    HttpEndpoint(
        "reload",
        "/-/reload",
        "reload",
        "Reloads the configuration, if `web.enable_lifecycle` is on.",
        method="POST",
    ),
)

OPEN_PATHS: Final = frozenset({"/-/healthy", "/-/ready"})
"""Orchestrators probe these without credentials; they reveal only the connections' names."""

PATHS: Final = frozenset(endpoint.path for endpoint in ENDPOINTS)


def markdown() -> str:
    """The README's table."""
    rows = [f"| `{endpoint.shown}` | {endpoint.meaning} |" for endpoint in ENDPOINTS]
    return "\n".join(["| path | answer |", "| --- | --- |", *rows])

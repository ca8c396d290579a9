"""Interprets facts: why a queue is blocked, why connections are out of sync. Pure: no I/O."""

from exporter.diagnosis.blocked import (
    INTENDED,
    Database,
    Diagnosis,
    Isolation,
    QueueFacts,
    Reason,
    diagnose,
    known_workers,
    queue_facts,
    reason_of,
)
from exporter.diagnosis.cluster import one_node
from exporter.diagnosis.databases import databases_of
from exporter.diagnosis.drain import Outlook
from exporter.diagnosis.hints import STUCK_HINTS, WORKER_HINTS, hint
from exporter.diagnosis.memory import full_in_seconds
from exporter.diagnosis.sync import differing, explain_pair, groups_hint, verdict
from exporter.diagnosis.workers import odd_workers

__all__ = [
    "INTENDED",
    "STUCK_HINTS",
    "WORKER_HINTS",
    "Database",
    "Diagnosis",
    "Isolation",
    "Outlook",
    "QueueFacts",
    "Reason",
    "databases_of",
    "diagnose",
    "differing",
    "explain_pair",
    "full_in_seconds",
    "groups_hint",
    "hint",
    "known_workers",
    "odd_workers",
    "one_node",
    "queue_facts",
    "reason_of",
    "verdict",
]

"""What facts mean, in words. Pure."""

from exporter.diagnosis.blocked import (
    Database,
    Diagnosis,
    Isolation,
    QueueFacts,
    Reason,
    diagnose,
    row_of,
)
from exporter.diagnosis.databases import databases_of
from exporter.diagnosis.hints import hint
from exporter.diagnosis.sync import differing, explain_pair, verdict

__all__ = [
    "Database",
    "Diagnosis",
    "Isolation",
    "QueueFacts",
    "Reason",
    "databases_of",
    "diagnose",
    "differing",
    "explain_pair",
    "hint",
    "row_of",
    "verdict",
]

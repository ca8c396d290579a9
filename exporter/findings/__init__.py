"""What is wrong now: the alerts, evaluated from a moment. Pure: no I/O."""

from exporter.findings.model import Finding, Status
from exporter.findings.verdict import Verdict, verdict_of

__all__ = ["Finding", "Status", "Verdict", "verdict_of"]

"""`bullmq-exporter check`: the connection test as a command."""

from exporter.check.model import CheckReport
from exporter.check.run import run_checks
from exporter.check.show import Printer, Silent, as_json

__all__ = ["CheckReport", "Printer", "Silent", "as_json", "run_checks"]

"""Shows the connection test: line by line for people, as JSON for machines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from exporter.check.model import CheckReport, Outcome, Step
from exporter.diagnosis import explain_pair
from exporter.state.snapshots import SyncReport

_MARKS = {Outcome.OK: "ok", Outcome.WARNING: "warn", Outcome.FAILED: "FAIL"}
_PAIR_OUTCOMES = {True: Outcome.OK, False: Outcome.FAILED, None: Outcome.WARNING}


class Printer:
    """Prints each result as soon as it is known."""

    def __init__(self, write: Callable[[str], None], show_progress: Callable[[str], None]) -> None:
        self._write = write
        self._show_progress = show_progress
        """For progress, which is not part of the result."""

    def connection(self, name: str, url: str) -> None:
        """Print the heading of a connection."""
        self._write(f"\n{name}  {url}")

    def step(self, step: Step) -> None:
        """Print a step."""
        self._row(step.outcome, step.name, step.detail)
        for note in step.notes:
            self._write(f"{'':23}{note}")

    def pairs(self, report: SyncReport) -> None:
        """Print the sync test."""
        self._write("\nsync test  (which connections see what the others write)")
        for pair in report.pairs:
            outcome = _PAIR_OUTCOMES[pair.passed]
            detail = explain_pair(pair, report.metadata)
            self._row(outcome, f"{pair.writer} → {pair.reader}", detail)
            reached = {pair.writer, pair.reader} <= set(report.metadata)
            if pair.passed is False and reached:
                for name, check in pair.checks.items():
                    mark = "ok" if check.ok else "FAIL"
                    self._write(f"{'':23}{mark:5} {name}: {check.detail}")

        self._cleanup(report)

    def _cleanup(self, report: SyncReport) -> None:
        checks = [pair.checks["cleanup"] for pair in report.pairs if "cleanup" in pair.checks]
        failed = next((check for check in checks if not check.ok), None)
        if failed is not None:
            self._row(Outcome.FAILED, "cleanup", failed.detail)
        elif checks:
            self._row(Outcome.OK, "cleanup", "all keys are deleted, as every reader confirms")

    def progress(self, text: str) -> None:
        """Show what a long step is doing."""
        self._show_progress(text)

    def verdict(self, report: CheckReport) -> None:
        """Print the findings, and the verdict as the last line."""
        for line in report.findings.lines()[:-1] if report.findings is not None else ():
            self._write(line)
        self._write(f"\n{report.verdict}")

    def _row(self, outcome: Outcome, name: str, detail: str) -> None:
        self._write(f"  {_MARKS[outcome]:5} {name:14} {detail}")


def as_json(report: CheckReport) -> dict[str, Any]:
    """The whole report as plain values."""
    return {
        "ok": report.ok,
        "verdict": report.verdict,
        "findings": report.findings.as_json()["findings"] if report.findings is not None else [],
        "connections": {
            connection.name: {
                "url": connection.url,
                "steps": [asdict(step) for step in connection.steps],
            }
            for connection in report.connections
        },
        "pairs": [
            {
                **asdict(pair),
                "passed": pair.passed,
                "verdict": explain_pair(pair, report.metadata),
            }
            for pair in report.pairs
        ],
        "metadata": {name: asdict(metadata) for name, metadata in report.metadata.items()},
    }

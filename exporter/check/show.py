"""The connection test for people, as it goes, and for machines, at its end."""

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
    """Prints each result as it comes."""

    def __init__(self, write: Callable[[str], None], hint: Callable[[str], None]) -> None:
        self._write = write
        self._hint = hint
        """For progress, which does not belong to the result."""

    def connection(self, name: str, url: str) -> None:
        """The steps of this connection follow."""
        self._write(f"\n{name}  {url}")

    def step(self, step: Step) -> None:
        """A step has ended."""
        self._row(step.outcome, step.name, step.detail)
        for note in step.notes:
            self._write(f"{'':23}{note}")

    def pairs(self, report: SyncReport) -> None:
        """The sync test has ended."""
        self._write("\nsync test  (who sees what the others write)")
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
        left = next((check for check in checks if not check.ok), None)
        if left is not None:
            self._row(Outcome.FAILED, "cleanup", left.detail)
        elif checks:
            self._row(Outcome.OK, "cleanup", "every key is deleted, and gone for every reader")

    def progress(self, text: str) -> None:
        """Something takes its time."""
        self._hint(text)

    def verdict(self, report: CheckReport) -> None:
        """The last line."""
        self._write(f"\n{report.verdict}")

    def _row(self, outcome: Outcome, name: str, detail: str) -> None:
        self._write(f"  {_MARKS[outcome]:5} {name:14} {detail}")


def as_json(report: CheckReport) -> dict[str, Any]:
    """The whole report as plain values."""
    return {
        "ok": report.ok,
        "verdict": report.verdict,
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

"""Shows the connection test: line by line for people, as JSON for machines."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, Final

from exporter.check.model import CheckReport, Outcome, Step
from exporter.diagnosis import explain_pair
from exporter.state.snapshots import SyncReport
from exporter.terminal.progress import Progress
from exporter.terminal.rows import Rows
from exporter.views.formatting import printable

_MARKS: Final = {
    Outcome.OK: ("ok", "green"),
    Outcome.WARNING: ("warn", "yellow"),
    Outcome.FAILED: ("FAIL", "bold red"),
}
_PAIR_OUTCOMES: Final = {True: Outcome.OK, False: Outcome.FAILED, None: Outcome.WARNING}


class Silent:
    """Shows only what long steps are doing."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def connection(self, name: str, url: str) -> None:
        """Print nothing."""

    def step(self, step: Step) -> None:
        """Print nothing."""

    def pairs(self, report: SyncReport) -> None:
        """Print nothing."""

    def progress(self, text: str) -> None:
        """Show what a long step is doing."""
        self._progress.set_text(text)


class Printer(Silent):
    """Prints each result as soon as it is known."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress)
        self._rows = Rows()

    def connection(self, name: str, url: str) -> None:
        """Print the heading of a connection."""
        self._heading(f"{name}  {url}", "bold")

    def step(self, step: Step) -> None:
        """Print a step."""
        self._row(step.outcome, step.name, step.detail)
        for note in step.notes:
            self._note(note)

    def pairs(self, report: SyncReport) -> None:
        """Print the sync test."""
        self._heading("sync test  (which connections see what the others write)", "bold")
        for pair in report.pairs:
            outcome = _PAIR_OUTCOMES[pair.passed]
            detail = explain_pair(pair, report.metadata)
            self._row(outcome, f"{pair.writer} → {pair.reader}", detail)
            reached = {pair.writer, pair.reader} <= set(report.metadata)
            if pair.passed is False and reached:
                for name, check in pair.checks.items():
                    mark, _ = _MARKS[Outcome.OK if check.ok else Outcome.FAILED]
                    self._note(f"{mark:5} {name}: {check.detail}")
        self._cleanup(report)
        if len(report.pairs) == 1 and report.pairs[0].passed:
            self._note("add the other services' Redis URLs to compare them")

    def _cleanup(self, report: SyncReport) -> None:
        checks = [pair.checks["cleanup"] for pair in report.pairs if "cleanup" in pair.checks]
        failed = next((check for check in checks if not check.ok), None)
        if failed is not None:
            self._row(Outcome.FAILED, "cleanup", failed.detail)
        elif checks:
            self._row(Outcome.OK, "cleanup", "all keys are deleted, as every reader confirms")

    def verdict(self, report: CheckReport) -> None:
        """Print the findings, and the verdict as the last line."""
        for line in report.findings.lines()[:-1] if report.findings is not None else ():
            with self._progress.quiet():
                self._rows.line(one_line(line))
        self._heading(report.verdict, "bold green" if report.ok else "bold red")

    def _heading(self, text: str, style: str) -> None:
        """A line with a blank line above."""
        with self._progress.quiet():
            self._rows.line(f"\n{one_line(text)}", style)

    def _row(self, outcome: Outcome, name: str, detail: str) -> None:
        mark, style = _MARKS[outcome]
        with self._progress.quiet():
            self._rows.row(mark, name, one_line(detail), style)

    def _note(self, text: str) -> None:
        with self._progress.quiet():
            self._rows.row("", "", one_line(text))


def one_line(text: str) -> str:
    """A text that may have come from a server, without anything that could change the layout."""
    return printable(re.sub(r"\s*[\r\n]+\s*", " ", text.strip("\r\n")))


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

"""`python -m benchmarks` measures the exporter's cost, and a floor in the same run."""

from __future__ import annotations

import argparse
import logging

from benchmarks import data
from benchmarks.bystander import bystander_lines
from benchmarks.discovery import discovery_lines
from benchmarks.events import event_lines
from benchmarks.job_reports import job_report_lines
from benchmarks.loads import load_lines
from benchmarks.pages import client_library_lines, page_lines
from benchmarks.polling import growth_line, poll_lines
from benchmarks.process import process_lines
from benchmarks.server import private_redis
from benchmarks.table import Line, Note, progress, show
from exporter.app import tune_gc

_WORKERS = 200
_MIN_QUEUES = 100
_NAMING_QUEUES = 1000
_LOAD_ROUNDS = 5


def main() -> None:
    """Run all benchmarks and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("-n", "--queues", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("-r", "--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument(
        "--noise", type=int, default=1_000_000, help="other keys in Redis, default: %(default)s"
    )
    parser.add_argument(
        "--events", type=int, default=400_000, help="events to catch up with, default: %(default)s"
    )
    parser.add_argument(
        "--series",
        type=int,
        default=100_000,
        help="series to compare with the client library, default: %(default)s",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=20,
        help="how long to observe processes, default: %(default)s",
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="*",
        default=[100, 1000, 10_000],
        help="queues under load, with the hashes of all jobs, default: %(default)s",
    )
    parser.add_argument(
        "--interval",
        type=float,
        default=5,
        help="seconds between polls under load, default: %(default)s",
    )
    parser.add_argument("--only-loads", action="store_true", help="only measure --sizes")
    options = parser.parse_args()
    if options.queues < _MIN_QUEUES:
        parser.error(f"--queues must be at least {_MIN_QUEUES} to measure growth")
    logging.disable(logging.INFO)
    tune_gc()
    lines: list[Line | Note] = []
    if options.sizes:
        lines += load_lines(options.sizes, min(options.rounds, _LOAD_ROUNDS), options.interval)
    if not options.only_loads:
        lines += _parts(options)
    print(f"Medians of up to {options.rounds} rounds; the floor is measured in the same rounds")
    show(lines)


def _parts(options: argparse.Namespace) -> list[Line | Note]:
    """Each part of the exporter by itself."""
    queues: int = options.queues
    lines: list[Line | Note] = [Note(f"the parts, {queues:,} queues with jobs in every state")]
    lines += _with_queues(queues, options.rounds, options.seconds / 2, options.events)
    progress("naming jobs")
    lines += job_report_lines(min(queues, _NAMING_QUEUES), options.rounds)
    progress("the client library")
    lines += client_library_lines(options.rounds, options.series)
    progress("growth")
    lines.append(growth_line(min(options.rounds, 9), queues))
    progress("discovery")
    lines += discovery_lines(queues, options.noise)
    progress("the start of the exporter, and its pages")
    lines += process_lines(queues, options.seconds, options.rounds)
    return lines


def _with_queues(queues: int, rounds: int, seconds: float, events: int) -> list[Line]:
    with private_redis() as port:
        progress(f"creating {queues:,} queues")
        data.fill(port, queues)
        workers = data.add_workers(port, min(queues, _WORKERS))
        lines = poll_lines(port, queues, rounds)
        progress("other clients")
        lines += bystander_lines(port, seconds, rounds)
        progress("pages")
        lines += page_lines(port, rounds)
        for worker in workers:
            worker.close()
        progress("events")
        return lines + event_lines(port, min(rounds, 5), events)


if __name__ == "__main__":
    main()

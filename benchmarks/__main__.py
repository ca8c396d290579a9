"""`python -m benchmarks`: what everything costs, beside a floor measured in the same run."""

from __future__ import annotations

import argparse
import logging

from benchmarks import data
from benchmarks.bystander import neighbour_lines
from benchmarks.discovery import discovery_lines
from benchmarks.events import event_lines
from benchmarks.pages import client_library_lines, page_lines
from benchmarks.polling import growth_line, poll_lines
from benchmarks.process import process_lines
from benchmarks.server import private_redis
from benchmarks.table import Line, progress, show
from exporter.app import tune_gc

_WORKERS = 200
_LEAST_QUEUES = 100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("-n", "--queues", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("-r", "--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument(
        "--noise", type=int, default=1_000_000, help="other keys in Redis, default: %(default)s"
    )
    parser.add_argument(
        "--events", type=int, default=400_000, help="to catch up with, default: %(default)s"
    )
    parser.add_argument(
        "--series",
        type=int,
        default=100_000,
        help="beside the client library, default: %(default)s",
    )
    parser.add_argument(
        "--seconds", type=float, default=20, help="to watch processes, default: %(default)s"
    )
    options = parser.parse_args()
    if options.queues < _LEAST_QUEUES:
        parser.error(f"growth shows from {_LEAST_QUEUES} queues on")
    logging.disable(logging.INFO)
    tune_gc()
    lines = _with_queues(options.queues, options.rounds, options.seconds / 2, options.events)
    progress("the client library")
    lines += client_library_lines(options.rounds, options.series)
    progress("growth")
    lines.append(growth_line(min(options.rounds, 9), options.queues))
    progress("discovery")
    lines += discovery_lines(options.queues, options.noise)
    progress("the exporter as a process")
    lines += process_lines(options.queues, options.seconds)
    print(
        f"{options.queues:,} queues that have work in every state, {options.rounds} rounds, "
        "medians; the floor is measured in between"
    )
    show(lines)


def _with_queues(queues: int, rounds: int, seconds: float, events: int) -> list[Line]:
    with private_redis() as port:
        progress(f"making {queues:,} queues")
        data.fill(port, queues)
        workers = data.add_workers(port, min(queues, _WORKERS))
        lines = poll_lines(port, queues, rounds)
        progress("neighbours")
        lines += neighbour_lines(port, seconds, rounds)
        progress("pages")
        lines += page_lines(port, rounds)
        for worker in workers:
            worker.close()
        progress("events")
        return lines + event_lines(port, min(rounds, 5), events)


if __name__ == "__main__":
    main()

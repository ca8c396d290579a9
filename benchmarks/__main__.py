"""`python -m benchmarks`: what everything costs, beside a floor measured in the same run."""

from __future__ import annotations

import argparse
import logging

from benchmarks import polling
from benchmarks.discovery import discovery_lines
from benchmarks.events import event_lines
from benchmarks.process import process_lines
from benchmarks.server import fill, private_redis
from benchmarks.table import Line, progress, show
from exporter.app import spare_cycle_collector


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("-n", "--queues", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("-r", "--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument(
        "--noise", type=int, default=1_000_000, help="other keys in Redis, default: %(default)s"
    )
    options = parser.parse_args()
    logging.disable(logging.INFO)
    spare_cycle_collector()  # as the daemon does
    print(
        f"{options.queues:,} queues that have work in every state, {options.rounds} rounds, "
        "medians. The floor is measured in between."
    )
    lines = _polling(options.queues, options.rounds)
    progress("discovery")
    lines += _shown("Discovery", discovery_lines(options.queues, options.noise))
    progress("the exporter as a process")
    lines += _shown("As a process", process_lines(options.queues, seconds=20))
    missed = sum(not line.passed for line in lines)
    print(f"\n{len(lines) - missed} of {len(lines)} targets met")


def _polling(queues: int, rounds: int) -> list[Line]:
    with private_redis() as port:
        progress(f"making {queues:,} queues")
        fill(port, queues)
        lines = _shown("A poll", polling.poll_lines(port, rounds))
        progress("neighbours")
        lines += _shown("Neighbours", polling.neighbour_lines(port, rounds=5))
        progress("pages")
        pages = [*polling.page_lines(port, rounds), polling.client_library_line(rounds)]
        lines += _shown("Pages", pages)
        progress("events")
        lines += _shown("Events", event_lines(port, rounds=5))
    progress("growth")
    return lines + _shown("Growth", [polling.growth_line(min(rounds, 9), queues)])


def _shown(title: str, lines: list[Line]) -> list[Line]:
    show(title, lines)
    return lines


if __name__ == "__main__":
    main()

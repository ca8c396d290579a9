"""`python -m benchmarks`: a table of costs and of their ratios to the floor, all in one run."""

from __future__ import annotations

import argparse
import http.client
import logging
import socket
import statistics
import threading
import time
from collections.abc import Callable

import hiredis
import redis

from benchmarks.events import report_events
from benchmarks.meter import Cost, Meter, median
from benchmarks.server import fill, floor_batches, private_redis
from exporter.board import Board
from exporter.collectors import Collector, collectors_for
from exporter.config import Config, load
from exporter.connection import Clients
from exporter.exposition import Format, PageWriter, Press, Variant
from exporter.polling import Poller
from exporter.web import WebServer, application, open_socket

OPENMETRICS_GZIP = Variant(Format.OPENMETRICS, gzip=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--queues", type=int, default=1000)
    parser.add_argument("-r", "--rounds", type=int, default=15)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    with private_redis() as port:
        fill(port, options.queues)
        report(port, options.queues, options.rounds)
        report_events(port)


def report(port: int, queues: int, rounds: int) -> None:
    """Interleave everything, so that a noisy moment falls on all alike."""
    config = load(None, {"REDIS_URL": f"redis://127.0.0.1:{port}/0"})
    board = Board(["default"])
    poller = _poller(config, board, collectors_for(config))
    poller.poll_once()
    writer = PageWriter(60, 60)
    actions: dict[str, Callable[[], object]] = {
        "floor: nine counts a queue, raw": _floor(port),
        "redis-py pipeline of the same": _redis_py(port),
        "poll": poller.poll,
        "poll and page": lambda: (
            poller.poll(),
            writer.write(board.snapshots()).body(OPENMETRICS_GZIP),
        ),
    }
    for action in actions.values():
        action()
    meter = Meter(port)
    costs: dict[str, list[Cost]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            costs[name].append(meter.cost(action))
    _print_table({name: median(found) for name, found in costs.items()}, queues)
    _print_scrape(config, board, rounds)


def _poller(config: Config, board: Board, collectors: tuple[Collector, ...]) -> Poller:
    client = Clients().get(config.connections["default"], "default")
    return Poller(config, ["default"], client, collectors, board)


def _floor(port: int) -> Callable[[], object]:
    batches = floor_batches(port)
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader = hiredis.Reader()

    def read() -> list[int]:
        values = []
        for packed, count in batches:
            sock.sendall(packed)
            left = count
            while left:
                reader.feed(sock.recv(1 << 18))
                while left and (value := reader.gets()) is not False:
                    values.append(value)
                    left -= 1
        return values

    return read


def _redis_py(port: int) -> Callable[[], object]:
    client = redis.Redis(port=port)
    bases = sorted(
        key.decode().removesuffix("meta") for key in client.scan_iter("bull:*:meta", count=5000)
    )

    def read() -> None:
        for start in range(0, len(bases), 50):
            pipe = client.pipeline(transaction=False)
            for base in bases[start : start + 50]:
                for name in ("wait", "active", "paused"):
                    pipe.llen(base + name)
                for name in ("delayed", "prioritized", "waiting-children", "completed", "failed"):
                    pipe.zcard(base + name)
                pipe.hexists(base + "meta", "paused")
            pipe.execute()

    return read


def _print_table(costs: dict[str, Cost], queues: int) -> None:
    floor = next(iter(costs.values()))
    print(f"{queues} queues, medians; x is times the floor\n")
    print(f"{'':34}{'client CPU ms':>15}{'x':>6}{'Redis CPU ms':>14}{'x':>6}{'commands':>10}")
    for name, cost in costs.items():
        print(
            f"{name:34}{cost.client_ms:15.1f}{cost.client_ms / floor.client_ms:6.1f}"
            f"{cost.redis_ms:14.1f}{cost.redis_ms / floor.redis_ms:6.1f}{cost.commands:10}"
        )


def _print_scrape(config: Config, board: Board, rounds: int) -> None:
    """A request for the ready page, over HTTP, as Prometheus asks."""
    press = Press(board, config.poll)
    press.body(OPENMETRICS_GZIP)
    press.print_page()
    sock = open_socket("127.0.0.1:0")
    web = WebServer(application(config, board, press), sock, 40)
    web.start()
    connection = http.client.HTTPConnection("127.0.0.1", sock.getsockname()[1])
    headers = {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}
    times, size = [], 0
    for _ in range(rounds * 2):
        start = time.perf_counter()
        connection.request("GET", "/metrics", headers=headers)
        size = len(connection.getresponse().read())
        times.append((time.perf_counter() - start) * 1000)
    connection.close()
    threading.Thread(target=web.stop, daemon=True).start()
    plain = len(press.body(Variant(Format.OPENMETRICS, gzip=False)))
    print(
        f"\nscrape from memory: {statistics.median(times):.2f} ms wall at the client, "
        f"{plain / 1e6:.2f} MB, {size / 1e6:.2f} MB gzipped"
    )


if __name__ == "__main__":
    main()

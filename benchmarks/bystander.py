"""The effect of polls on another client of the same Redis: the latency of its PINGs."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from benchmarks import floor
from benchmarks.exporter import Exporter
from benchmarks.measure import commands_of
from benchmarks.table import Line


def bystander_lines(port: int, seconds: float, rounds: int) -> list[Line]:
    """Measure PING latency during polls, and the longest commands of a poll.

    If a command of a microsecond takes milliseconds, Redis was not scheduled. This affects the
    commands of the floor as well.
    """
    exporter = Exporter(port)
    idle = ping_p99_ms(port, seconds)

    def poll() -> None:
        exporter.poller.poll()
        time.sleep(0.2)

    busy = ping_p99_ms(port, seconds, poll)
    read = floor.reading(port)
    poll_ms, floor_ms = [], []
    for _ in range(rounds):
        poll_ms.append(commands_of(port, exporter.poller.poll).longest_ms)
        floor_ms.append(commands_of(port, read).longest_ms)
    return [
        Line("another client's PING during polls, increase of p99", max(0.0, busy - idle), "ms", 3),
        Line("longest command of a poll", statistics.median(poll_ms), "ms", 2, worst=max(poll_ms)),
        Line(
            "- longest command of the floor",
            statistics.median(floor_ms),
            "ms",
            None,
            worst=max(floor_ms),
        ),
    ]


def ping_p99_ms(port: int, seconds: float, work: Callable[[], object] | None = None) -> float:
    """The p99 in ms of PINGs that another process sends every millisecond during `work`."""
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_ping, args=(port, seconds, sender)
    )
    process.start()
    receiver.recv()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if work is None:
            time.sleep(0.01)
        else:
            work()
    times: list[float] = receiver.recv()
    process.join()
    return statistics.quantiles(times, n=100)[98]


def _ping(port: int, seconds: float, pipe: Connection) -> None:
    # real-time priority, if permitted, so that it waits for Redis and not for a CPU
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times = []
    pipe.send("ready")
    deadline = time.monotonic() + seconds
    while (start := time.monotonic()) < deadline:
        sock.sendall(b"PING\r\n")
        sock.recv(64)
        took = time.monotonic() - start
        times.append(took * 1000)
        # PINGs that were due meanwhile would have waited for the rest of that time
        times += [(took - late / 1000) * 1000 for late in range(1, int(took * 1000))]
        time.sleep(max(0.0, 0.001 - took))
    pipe.send(times)

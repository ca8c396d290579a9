"""Somebody else on the same Redis: how long its PINGs take."""

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


def neighbour_lines(port: int, seconds: float, rounds: int) -> list[Line]:
    """What others on that Redis feel.

    A command of a microsecond that takes milliseconds is Redis off its CPU, and falls on the
    floor's commands as well.
    """
    exporter = Exporter(port)
    idle = _p99_ms(port, seconds)

    def poll() -> None:
        exporter.poller.poll()
        time.sleep(0.2)

    busy = _p99_ms(port, seconds, poll)
    read = floor.reading(port)
    ours, base = [], []
    for _ in range(rounds):
        ours.append(commands_of(port, exporter.poller.poll).longest_ms)
        base.append(commands_of(port, read).longest_ms)
    return [
        Line("bystander's PING, p99 over idle", max(0.0, busy - idle), "ms", 3),
        Line("longest command of a poll", statistics.median(ours), "ms", 2, worst=max(ours)),
        Line("- of the floor's", statistics.median(base), "ms", None, worst=max(base)),
    ]


def _p99_ms(port: int, seconds: float, work: Callable[[], object] | None = None) -> float:
    """The 99th percentile of PINGs, one a millisecond from another process, during `work`."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_ping, args=(port, seconds, theirs)
    )
    process.start()
    ours.recv()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if work is None:
            time.sleep(0.01)
        else:
            work()
    times: list[float] = ours.recv()
    process.join()
    return statistics.quantiles(times, n=100)[98]


def _ping(port: int, seconds: float, pipe: Connection) -> None:
    # where it may, it goes before others, so that it waits for Redis and not for a CPU
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
        # those that could not be sent meanwhile would have waited for the rest of it
        times += [(took - late / 1000) * 1000 for late in range(1, int(took * 1000))]
        time.sleep(max(0.0, 0.001 - took))
    pipe.send(times)

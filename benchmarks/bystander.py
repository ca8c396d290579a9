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


def p99_ms(port: int, seconds: float, work: Callable[[], object] | None = None) -> float:
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
    with contextlib.suppress(PermissionError):  # it shall wait for Redis, not for a CPU
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

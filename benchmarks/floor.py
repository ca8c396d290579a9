"""The floor: the least that reading and rendering nine counts a queue can cost in Python."""

from __future__ import annotations

import socket
from collections.abc import Callable

import hiredis
import redis

from benchmarks.server import floor_batches


def reading(port: int) -> Callable[[], list[int]]:
    """Packed pipelines over a bare socket, and hiredis' reader."""
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


def rendering(series: int) -> Callable[[], bytes]:
    """One template with every prefix written beforehand."""
    template = "".join(
        f'bullmq_queue_jobs{{connection="default",prefix="bull",queue="svc-tasks-{row:05d}",'
        f'state="waiting"}} %d\n'
        for row in range(series)
    )
    values = tuple(range(series))

    def render() -> bytes:
        return (template % values).encode()

    return render


def redis_py(port: int) -> Callable[[], None]:
    """The same counts by a redis-py pipeline: what most would write."""
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

"""The floor: the least that reading and rendering nine counts per queue can cost in Python."""

from __future__ import annotations

import socket
from collections.abc import Callable

import hiredis
import redis

from benchmarks.data import SCORED
from exporter.connection import pack


def reading(port: int) -> Callable[[], list[int]]:
    """Return a function that reads the counts: packed pipelines, a socket and hiredis' reader."""
    batches = _batches(port)
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
    """Return a function that renders series with one template whose labels are constant."""
    template = "".join(
        f'bullmq_queue_size{{connection="default",prefix="bull",queue="svc-tasks-{row:05d}",'
        f'state="waiting"}} %d\n'
        for row in range(series)
    )
    values = tuple(range(series))

    def render() -> bytes:
        return (template % values).encode()

    return render


def redis_py(port: int) -> Callable[[], None]:
    """Return a function that reads the counts with redis-py pipelines, as most code would."""
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


def _batches(port: int, batch_size: int = 500) -> list[tuple[bytes, int]]:
    """The packed commands for nine counts per queue, in batches with their number of commands."""
    client = redis.Redis(port=port)
    bases = sorted(
        key.decode().removesuffix("meta") for key in client.scan_iter("bull:*:meta", count=5000)
    )
    client.close()
    commands = []
    for base in bases:
        commands += [pack("LLEN", base + name) for name in ("wait", "active", "paused")]
        commands += [pack("ZCARD", base + name) for name in SCORED]
        commands.append(pack("HEXISTS", base + "meta", "paused"))
    chunks = [commands[i : i + batch_size] for i in range(0, len(commands), batch_size)]
    return [(b"".join(chunk), len(chunk)) for chunk in chunks]

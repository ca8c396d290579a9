"""Commands to copy that look at one queue. They read only, and contain no password."""

from __future__ import annotations

import glob
import shlex
from typing import Final, NamedTuple

from exporter.bullmq import Queue
from exporter.config.models import Connection
from exporter.connection import Metadata

_READS: Final = (
    ("Settings and pause", "HGETALL", "meta", ""),
    ("Jobs that wait", "LLEN", "wait", ""),
    ("Jobs with a priority", "ZCARD", "prioritized", ""),
    ("Some of the active jobs", "LRANGE", "active", " 0 9"),
    ("Failed jobs that are kept", "ZCARD", "failed", ""),
    ("The last events", "XREVRANGE", "events", " + - COUNT 10"),
)


class QueueCommand(NamedTuple):
    """A command line for a POSIX shell."""

    purpose: str
    text: str


def queue_commands(
    queue: Queue, settings: Connection, metadata: Metadata | None
) -> tuple[QueueCommand, ...]:
    """The commands for a queue that the connection with these settings reads."""
    server = _redis_cli(settings, metadata)
    queues = f"bullmq-exporter queues --once --filter {quoted(glob.escape(queue.name))}"
    return (
        *(
            QueueCommand(purpose, f"{server} {command} {quoted(_key(queue, suffix))}{rest}")
            for purpose, command, suffix, rest in _READS
        ),
        QueueCommand("This exporter's view", queues),
        QueueCommand("The same in Kubernetes", f"kubectl exec deploy/bullmq-exporter -- {queues}"),
    )


def quoted(text: str) -> str:
    """The text as one word of a shell, on one line and without characters that cannot be seen."""
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def _escaped(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))


def _key(queue: Queue, suffix: str) -> str:
    return queue.key.decode("utf-8", "surrogateescape") + suffix


def _redis_cli(settings: Connection, metadata: Metadata | None) -> str:
    url = settings.url
    words = ["redis-cli"]
    if url.scheme == "unix":
        words += ["-s", quoted(url.path)]
    else:
        # sentinels and clusters name the server that is reached
        address = metadata.address if metadata is not None else url.address
        host, _, port = address.rpartition(":")
        words += ["-h", quoted(host.strip("[]")), "-p", quoted(port)]
    db = metadata.db if metadata is not None else url.db
    words += ["-n", str(db)] if db else []
    words += ["--tls"] if url.scheme == "rediss" else []
    words += ["-c"] if settings.cluster else []
    words += ["--user", quoted(settings.user)] if settings.user else []
    if settings.url.password is not None or settings.password_file is not None:
        words.append("--askpass")
    return " ".join(words)

"""Which of the commands that the exporter uses are refused, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exporter.check.model import Outcome, Step
from exporter.connection import Argument, Client, ReplyError, pack

CONTAINERS: Final = ("client", "cluster", "xinfo")
"""Commands of which an ACL names the subcommand."""


@dataclass(frozen=True, slots=True)
class Use:
    """A command that the exporter sends. `{key}` stands for a key under the queues' prefix."""

    command: tuple[Argument, ...]
    cost: str
    """What is missing where it is refused."""
    cluster: bool = False
    """Whether it is sent to clusters only."""

    @property
    def name(self) -> str:
        """As an ACL names it."""
        words = str(self.command[0]).lower()
        return f"{words}|{str(self.command[1]).lower()}" if words in CONTAINERS else words


USES: Final = (
    Use(("PING",), "nothing; the round trip is measured all the same"),
    Use(("INFO",), "all bullmq_redis_*, and who reaches the same database"),
    Use(("DBSIZE",), "bullmq_redis_keys"),
    Use(("TIME",), "ages by the server's clock; the exporter's own is taken"),
    Use(("CLIENT", "LIST"), "bullmq_queue_workers; whether workers live is told less surely"),
    Use(("CLIENT", "SETNAME", "{client}"), "the exporter's name in CLIENT LIST"),
    Use(("CLIENT", "ID"), "the client id in the log and the health page"),
    Use(("SCAN", "0", "COUNT", "10"), "discovery: only queues.static is watched"),
    Use(("TYPE", "{key}"), "telling a queue with a colon in its name from a job"),
    Use(("EXISTS", "{key}"), "queues that are gone stay until the next discovery"),
    Use(("LLEN", "{key}"), "waiting and active jobs"),
    Use(("LINDEX", "{key}", "0"), "the age of active jobs; telling markers from jobs"),
    Use(("LRANGE", "{key}", "-1", "-1"), "bullmq_queue_oldest_waiting_seconds"),
    Use(("ZCARD", "{key}"), "delayed, prioritized, waiting-children, completed and failed jobs"),
    Use(("ZRANGE", "{key}", "0", "0"), "overdue delayed jobs and schedulers"),
    Use(("ZRANGEBYSCORE", "{key}", "0", "0"), "the age of prioritized jobs"),
    Use(("ZCOUNT", "{key}", "0", "0"), "the number of overdue delayed jobs and schedulers"),
    Use(("GET", "{key}"), "whether a rate limit is used up, and whether workers live"),
    Use(("HEXISTS", "{key}", "paused"), "bullmq_queue_paused"),
    Use(
        ("HMGET", "{key}", "version"),
        "ages of jobs, queue settings",
    ),
    Use(("XREAD", "COUNT", "1", "STREAMS", "{key}", "0-0"), "all bullmq_jobs_*, bullmq_job_*"),
    Use(("XINFO", "STREAM", "{key}"), "all bullmq_jobs_*, bullmq_job_*"),
    Use(("XLEN", "{key}"), "bullmq_queue_events_stream_length"),
    Use(("PTTL", "{key}"), "bullmq_queue_rate_limit_remaining_seconds"),
    Use(("CLUSTER", "SLOTS"), "everything", cluster=True),
    Use(("ASKING",), "queues whose slot is being moved", cluster=True),
)
"""Every command but those of the handshake (AUTH, SELECT) and of the sync test."""


def permissions_step(client: Client, prefixes: tuple[str, ...]) -> Step:
    """Sends every command once, on keys that do not exist. Raises `RedisFailure`."""
    uses = [use for use in USES if client.settings.cluster or not use.cluster]
    refused: dict[str, str] = {}
    for node in client.nodes:
        for prefix in prefixes:
            refused |= {use.name: use.cost for use in _refused(node, uses, prefix)}
    if not refused:
        return Step("permissions", Outcome.OK, f"all {len(uses)} commands are allowed")
    notes = tuple(f"{name} is refused, which costs {cost}" for name, cost in refused.items())
    detail = f"{len(refused)} of {len(uses)} commands are refused"
    return Step("permissions", Outcome.WARNING, detail, {"refused": refused}, notes)


def _refused(node: Client, uses: Sequence[Use], prefix: str) -> list[Use]:
    """A node checks permissions first, and only then whether a key is its own."""
    key = f"{prefix}:bullmq-exporter-check:none"
    filled = [
        tuple(key if part == "{key}" else _part(part, node) for part in use.command) for use in uses
    ]
    replies = node.batch(b"".join(pack(*command) for command in filled), len(uses)).replies
    answered = zip(uses, replies, strict=True)
    return [u for u, reply in answered if isinstance(reply, ReplyError) and reply.not_available]


def _part(part: Argument, client: Client) -> Argument:
    return client.name if part == "{client}" else part

"""The collector: sends INFO and DBSIZE to every server."""

from __future__ import annotations

from exporter.collectors.contract import Context, Scope
from exporter.collectors.server.cluster import ClusterTotals
from exporter.collectors.server.info import persistence_ok, server_identity, server_values
from exporter.connection import (
    DBSIZE,
    INFO,
    Client,
    ReplyError,
    expect_int,
    expect_string,
    parse_info,
)
from exporter.parsing import MAX_LABEL_BYTES
from exporter.state.snapshots import ServerFacts


class ServerCollector:
    """Reads the server of every connection; reports a cluster's masters as one server."""

    name = "server"
    scope = Scope.CONNECTION

    def __init__(self) -> None:
        self._totals = ClusterTotals()

    def collect(self, context: Context) -> ServerFacts:
        """The server's facts. Raises `RedisFailure`, also if INFO is not available."""
        servers = [_read(node, context) for node in context.client.nodes]
        facts = self._totals.of(servers) if context.client.settings.cluster else servers[0]
        context.unfinished.evicted_keys = _evicted(facts)
        return facts


def _evicted(facts: ServerFacts) -> int | None:
    """Keys evicted since the server's start, also those that do not expire; None if unknown."""
    policy, evicted = facts.info.get("maxmemory_policy"), facts.values.get("evicted_keys")
    if not policy or evicted is None:
        return None
    return int(evicted) if policy.startswith("allkeys") else 0


def _read(node: Client, context: Context) -> ServerFacts:
    info_reply, size = node.batch(INFO.on() + DBSIZE.on(), 2, INFO.limit + DBSIZE.limit).replies
    if isinstance(info_reply, ReplyError):
        raise info_reply
    text = expect_string(info_reply, "INFO")
    context.errors.add_oversized(
        f"skipped lines of INFO with more than {MAX_LABEL_BYTES} bytes",
        sum(len(line) > MAX_LABEL_BYTES for line in text.splitlines()),
    )
    info = parse_info(text)
    node.update_metadata(info)
    values = server_values(info)
    if isinstance(size, ReplyError):
        context.errors.add(size, "DBSIZE")
    else:
        values["keys"] = expect_int(size, "DBSIZE")
    run_id = info.get("run_id") or node.settings.url.address
    return ServerFacts(server_identity(info), values, persistence_ok(info), run_id)

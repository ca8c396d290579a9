"""The server that a connection reaches, as facts comparable between connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from exporter.parsing import MAX_LABEL_BYTES

Info = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What Redis reported when the connection was opened; empty or None if it does not."""

    name: str
    """The connection's name in CLIENT LIST."""
    address: str
    """`host:port` or the socket's path: as configured, or as a sentinel reported it."""
    url: str
    """The URL with its password masked."""
    url_hash: str
    """Equal for URLs that differ only in credentials."""
    db: int
    connected_at: float
    """Unix time."""
    user: str = "default"
    """The ACL user of the connection."""
    client_id: int | None = None
    db_size: int | None = None
    """Number of keys in the database when connected."""
    run_id: str = ""
    """ID of the server process: 40 hex digits, new at every restart. For a cluster, the smallest ID
    of its nodes."""
    role: str = ""
    """`master` or `slave`, as in INFO."""
    replication_id: str = ""
    """`master_replid`; a replica has that of its master."""
    version: str = ""
    mode: str = ""
    master_link: str = ""
    """A replica's `master_link_status`."""
    sentinel: str = ""
    """`host:port` of the sentinel that reported this server."""
    masters: tuple[str, ...] = ()
    """A cluster's masters as `host:port`."""
    other_masters: int = 0
    """Number of the other masters, if this server is one node of a cluster and they are not read; 0
    if CLUSTER SLOTS is refused."""
    node_ids: tuple[str, ...] = ()
    """IDs of a cluster's masters and replicas; stable across failovers and restarts."""

    def with_info(self, info: Info) -> Metadata:
        """A copy updated from INFO: a failover changes the role of a connected server."""
        return replace(
            self,
            run_id=info.get("run_id", self.run_id),
            role=info.get("role", self.role),
            replication_id=info.get("master_replid", self.replication_id),
            version=info.get("redis_version") or info.get("redict_version") or self.version,
            mode=server_mode(info) or self.mode,
            master_link=info.get("master_link_status", ""),
        )

    def same_keyspace(self, other: Metadata) -> bool:
        """Whether both reach the same database: one process, or a replica and its master.

        Two views of a cluster share a node, even if the cluster changed in between.
        """
        if self.db != other.db:
            return False
        if not set(self.node_ids).isdisjoint(other.node_ids):
            return True
        if self.run_id and self.run_id == other.run_id:
            return True
        # A master takes the replication ID from the RDB file it was started with, so two masters
        # with the same ID may be copies; a replica always has the ID of its master.
        replica = "slave" in (self.role, other.role)
        return replica and bool(self.replication_id) and self.replication_id == other.replication_id


def server_mode(info: Info) -> str:
    """`standalone` or `cluster`; empty if it is hidden. Valkey and Redict have their own fields."""
    fields = ("redis_mode", "server_mode", "redict_mode")
    return next((info[field] for field in fields if info.get(field)), "")


def parse_info(reply: bytes) -> dict[str, str]:
    """The `key:value` lines of INFO; other lines are ignored, and those too long for a label."""
    lines = reply.decode("utf-8", "replace").splitlines()
    return dict(
        line.split(":", 1)
        for line in lines
        if ":" in line and not line.startswith("#") and len(line) <= MAX_LABEL_BYTES
    )

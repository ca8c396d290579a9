"""Who a connection reaches, as facts that can be compared with another connection's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

Info = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a connection learned when it was made; empty or None where Redis hides it."""

    name: str
    """The client's name in CLIENT LIST."""
    address: str
    """`host:port` or the socket's path: as configured, or as a sentinel named it."""
    url: str
    """The URL with its password masked."""
    url_hash: str
    """Equal for URLs that differ in credentials alone."""
    db: int
    connected_at: float
    """Unix time."""
    client_id: int | None = None
    db_size: int | None = None
    """Keys in the database when connected."""
    run_id: str = ""
    """The server process, 40 hex digits, new at every restart; of a cluster, which has none, the
    smallest id of its nodes."""
    role: str = ""
    """`master` or `slave`, as INFO calls it."""
    replication_id: str = ""
    """`master_replid`: a replica has its master's."""
    version: str = ""
    mode: str = ""
    master_link: str = ""
    """A replica's `master_link_status`."""
    sentinel: str = ""
    """`host:port` of the sentinel that named this server."""
    masters: tuple[str, ...] = ()
    """A cluster's masters as `host:port`."""
    node_ids: tuple[str, ...] = ()
    """Of a cluster's masters and replicas; they last through failovers and restarts."""

    def with_info(self, info: Info) -> Metadata:
        """Brought up to date with INFO: a failover changes the role of a server in use."""
        return replace(
            self,
            run_id=info.get("run_id", self.run_id),
            role=info.get("role", self.role),
            replication_id=info.get("master_replid", self.replication_id),
            version=info.get("redis_version", self.version),
            mode=info.get("redis_mode") or info.get("server_mode") or self.mode,
            master_link=info.get("master_link_status", ""),
        )

    def same_keyspace(self, other: Metadata) -> bool:
        """Whether both reach one database: the same process, or a replica and its master.

        Two ways into a cluster have a node in common, whatever has changed between their looks.
        """
        if self.db != other.db:
            return False
        if not set(self.node_ids).isdisjoint(other.node_ids):
            return True
        if self.run_id and self.run_id == other.run_id:
            return True
        # A master keeps the id of an RDB file that it was started from, so two masters with one
        # replication id may be two copies; a replica's is its master's for sure.
        replica = "slave" in (self.role, other.role)
        return replica and bool(self.replication_id) and self.replication_id == other.replication_id


def parse_info(reply: bytes) -> dict[str, str]:
    """INFO's `key:value` lines; anything else is passed over."""
    lines = reply.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))

"""Facts from INFO. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from exporter.connection.metadata import server_mode
from exporter.parsing import finite, is_digits

# our name → field of INFO, for numbers that need no conversion
_NUMBERS: Final = {
    "memory_used_bytes": "used_memory",
    "memory_max_bytes": "maxmemory",
    "memory_rss_bytes": "used_memory_rss",
    "memory_fragmentation_ratio": "mem_fragmentation_ratio",
    "evicted_keys": "evicted_keys",
    "expired_keys": "expired_keys",
    "commands_processed": "total_commands_processed",
    "rejected_connections": "rejected_connections",
    "connected_clients": "connected_clients",
    "blocked_clients": "blocked_clients",
    "max_clients": "maxclients",
}


def server_identity(info: Mapping[str, str]) -> dict[str, str]:
    """String facts. `version` is the Redis version that the server is compatible with."""
    name = info.get("server_name") or ("redict" if "redict_version" in info else "redis")
    return {
        "version": info.get("redis_version") or info.get("redict_version", ""),
        "mode": server_mode(info),
        "role": info.get("role", ""),
        "maxmemory_policy": info.get("maxmemory_policy", ""),
        "software": f"{name} {info.get(f'{name}_version', '')}".strip(),
    }


def server_values(info: Mapping[str, str]) -> dict[str, float]:
    """Numeric facts; those that are missing or not a number are omitted."""
    values = {ours: _number(info.get(field)) for ours, field in _NUMBERS.items()}
    values["start_timestamp_seconds"] = _start(info)
    if info.get("maxmemory_policy"):
        values["eviction_safe"] = float(info["maxmemory_policy"] == "noeviction")
    if info.get("role") == "master":
        # written only if min-replicas-to-write is set: replicas with little lag
        values["good_replicas"] = _number(info.get("min_slaves_good_slaves"))
    if info.get("role") == "slave":
        values["master_link_up"] = float(info.get("master_link_status") == "up")
    values["connected_replicas"] = _number(info.get("connected_slaves"))
    return {name: value for name, value in values.items() if value is not None}


def _start(info: Mapping[str, str]) -> float | None:
    """Unix time of the server's start; constant, because both values are the server's own."""
    now, uptime = _number(info.get("server_time_usec")), _number(info.get("uptime_in_seconds"))
    return None if now is None or uptime is None else now // 1_000_000 - uptime


def persistence_ok(info: Mapping[str, str]) -> dict[str, bool]:
    """Whether the last write of each enabled kind of persistence succeeded.

    INFO does not report whether RDB snapshots are configured; they count as off if the server has
    made none since its start (`rdb_last_bgsave_time_sec` is -1).
    """
    found = {}
    if info.get("rdb_last_bgsave_time_sec", "-1") != "-1":
        found["rdb"] = info.get("rdb_last_bgsave_status") == "ok"
    if info.get("aof_enabled") == "1":
        found["aof"] = info.get("aof_last_write_status") == "ok"
    return found


def _number(text: str | None) -> float | None:
    if not text:
        return None
    return int(text) if is_digits(text.encode()) else finite(text)

"""When the memory of a Redis will be full, if it goes on as before."""

from __future__ import annotations

from exporter.state.history import HISTORY_SECONDS, Past, slope, window
from exporter.state.snapshots import ServerFacts


def full_in_seconds(
    past: Past, server: ServerFacts, now: float, seconds: float = HISTORY_SECONDS
) -> float | None:
    """Seconds until `used_memory` reaches `maxmemory`, at the rate of the last `seconds`.

    It is the growth of everything in this Redis. How much of it is jobs is unknown: Redis
    reports the size of a job only for one at a time. None if there is no limit, if the memory does
    not grow, or if less than half of that time is known.
    """
    used, limit = (server.values.get(f"memory_{kind}_bytes") for kind in ("used", "max"))
    known = window(past, now, seconds)
    if used is None or not limit or not known or now - known[0].at < seconds / 2:
        return None
    points = [
        (entry.at, entry.server["memory_used_bytes"])
        for entry in known
        if "memory_used_bytes" in entry.server
    ]
    growth = slope([*points, (now, used)])
    return max(0.0, limit - used) / growth if growth > 0 else None

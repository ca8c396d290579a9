"""Many polls and many faults in a row: what the process holds does not grow."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.integration.test_discovery import add
from tests.support.daemon import Daemon, daemon
from tests.support.fault_harness import config
from tests.support.live import Written, announce
from tests.support.pages import value
from tests.support.proxy import Proxy
from tests.support.servers import valkey
from tests.support.waiting import wait_for

INTERVAL = 0.1
WARM_UP, ROUNDS = 4, 12
GROWTH_BYTES = 2 << 20
"""Some 1.5 MB are left to chance; 64 kB for each fault would be twice as much as this."""
PINGS = "bullmq_connection_ping_seconds_count"
RECONNECTS = "bullmq_connection_reconnects_total"


def resident(running: Daemon) -> int:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def held(running: Daemon, kind: str) -> int:
    return len(list(Path(f"/proc/{running.process.pid}/{kind}").iterdir()))


def least(running: Daemon, kind: str) -> int:
    """At a moment without the sync test's own, which takes a quarter of a second in each."""
    until, counts = time.monotonic() + 1.2, [held(running, kind)]
    while time.monotonic() < until:
        counts.append(held(running, kind))
        time.sleep(0.02)
    return min(counts)


def up(running: Daemon) -> bool:
    return value(running.samples(), "bullmq_up") == 1


def faults(proxy: Proxy) -> list[tuple[Callable[[], None], Callable[[], None]]]:
    """How each begins and ends."""

    def put(name: str, value: object) -> Callable[[], None]:
        return lambda: setattr(proxy, name, value)

    return [
        (proxy.cut, lambda: None),
        (proxy.refuse, proxy.let_in),
        (put("reset", True), put("reset", False)),
        (put("corrupt", lambda data: b"\0" * len(data)), put("corrupt", None)),
        (put("cut_after", 3000), put("cut_after", None)),
        (put("hang_after", 3000), put("hang_after", None)),
    ]


def test_descriptors_threads_and_memory(tmp_path: Path) -> None:
    with valkey() as server:
        announce(server.client())
        add(server.client(), *(f"queue-{number}" for number in range(20)))
        proxy, live = Proxy(server), Written(server)
        options = config(proxy.url, INTERVAL, stale_after=1).replace("seconds: 0.5", "seconds: 0.1")
        with daemon(tmp_path, options) as running:
            live.start()
            sizes, before = [], {}
            for number in range(ROUNDS):
                for begin, end in faults(proxy):
                    begin()
                    time.sleep(0.05)
                    end()
                    wait_for(lambda: up(running), "bullmq_up 1")
                if number == WARM_UP:
                    before = {kind: least(running, kind) for kind in ("fd", "task")}
                sizes.append(resident(running))
            for kind, count in before.items():
                # the sync test has some of its own for a moment
                wait_for(lambda k=kind, n=count: held(running, k) <= n, f"{kind}: {before}")
            found = running.samples()
            print(
                f"flat: {value(found, PINGS):.0f} polls, {value(found, RECONNECTS):.0f} losses | "
                f"{sizes[WARM_UP] / 1e6:.1f} MB, then {sizes[-1] / 1e6:.1f} MB | {before}"
            )
            assert max(sizes[WARM_UP:]) - sizes[WARM_UP] < GROWTH_BYTES
            live.stop()
        proxy.close()

"""The exporter's memory, descriptors and threads do not grow over many polls and faults."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.support.daemon import Daemon, daemon
from tests.support.fault_harness import config
from tests.support.live import Written, announce
from tests.support.pages import value
from tests.support.proxy import Proxy
from tests.support.redis_data import add_queues
from tests.support.servers import valkey
from tests.support.waiting import wait_for

INTERVAL = 0.1
TIMEOUT = "0.5"
"""Short, because one fault of each round lasts this long. A spurious loss does no harm here."""
WARM_UP, ROUNDS = 4, 12
GROWTH_BYTES = 4 << 20
"""About 2 MB are garbage that was not collected yet, and the history that fills;
a leak of 64 kB per fault would add 3 MB."""
LAST_SUCCESS = "bullmq_exporter_collector_last_success_timestamp_seconds"
SYNC_RUNS = "bullmq_sync_runs_total"


def resident(running: Daemon) -> int:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def held(running: Daemon) -> tuple[int, int]:
    """The numbers of descriptors and threads."""
    fd, task = (Path(f"/proc/{running.process.pid}/{kind}") for kind in ("fd", "task"))
    return len(list(fd.iterdir())), len(list(task.iterdir()))


def counted(running: Daemon, name: str) -> float:
    return value(running.samples(), name) or 0


def losses(running: Daemon) -> int:
    """The number of lost connections in the log."""
    return running.log.count(" REDIS lost ")


def failures(running: Daemon) -> int:
    """The number of lost connections and failed connection attempts in the log."""
    return losses(running) + running.log.count(" REDIS connection-test failed ")


def polled_at(running: Daemon) -> float:
    """Unix time at which the queues were last read."""
    return value(running.samples(), LAST_SUCCESS, collector="queues") or 0


def held_at_rest(running: Daemon) -> tuple[int, int] | None:
    """The minimum over two rounds of the sync test, which briefly has its own.

    None if the connection was lost in between, because one descriptor is missing then.
    """
    lost, runs = losses(running), counted(running, SYNC_RUNS)
    counts = [held(running)]

    def two_more() -> bool:
        counts.append(held(running))
        return counted(running, SYNC_RUNS) >= runs + 2

    wait_for(two_more, "two rounds of the sync test")
    if not up(running) or losses(running) != lost:
        return None
    return min(fd for fd, _ in counts), min(task for _, task in counts)


def up(running: Daemon) -> bool:
    return value(running.samples(), "bullmq_up") == 1


def faults(proxy: Proxy) -> list[tuple[Callable[[], None], Callable[[], None]]]:
    """The functions that start and end each fault."""

    def put(name: str, value: object) -> Callable[[], None]:
        return lambda: setattr(proxy, name, value)

    return [
        (proxy.cut, lambda: None),
        (proxy.refuse, proxy.accept_again),
        (put("reset", True), put("reset", False)),
        (put("corrupt", lambda data: b"\0" * len(data)), put("corrupt", None)),
        (put("cut_after", 3000), put("cut_after", None)),
        (put("hang_after", 3000), put("hang_after", None)),
    ]


def test_descriptors_threads_and_memory_do_not_grow(tmp_path: Path) -> None:
    with valkey() as server:
        announce(server.client())
        add_queues(server.client(), *(f"queue-{number}" for number in range(20)))
        proxy, live = Proxy(server), Written(server)
        options = config(proxy.url, INTERVAL, stale_after=1).replace(": 3.0", f": {TIMEOUT}")
        with daemon(tmp_path, options) as running:
            live.start()
            sizes, before = [], None
            for number in range(ROUNDS):
                for begin, end in faults(proxy):
                    seen = failures(running)

                    def has_effect(begin: Callable[[], None] = begin, seen: int = seen) -> bool:
                        begin()  # again, because there may have been no connection to cut
                        return failures(running) > seen

                    wait_for(has_effect, "a loss")
                    end()
                    ended = time.time()
                    wait_for(lambda t=ended: polled_at(running) > t, "a poll that works")
                if number == WARM_UP:
                    before = wait_for(lambda: held_at_rest(running), "a rest")
                sizes.append(resident(running))
            assert before is not None
            for kind, count in enumerate(before):
                wait_for(lambda k=kind, n=count: held(running)[k] <= n, f"no more than {before}")
            print(
                f"flat: {losses(running)} losses | "
                f"{sizes[WARM_UP] / 1e6:.1f} MB, then {sizes[-1] / 1e6:.1f} MB | {before}"
            )
            assert max(sizes[WARM_UP:]) - sizes[WARM_UP] < GROWTH_BYTES
            live.stop()
        proxy.close()

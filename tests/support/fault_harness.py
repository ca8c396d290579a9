"""Runs an exporter through a fault, and asserts what must hold during any fault."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from exporter.collectors import Discovery, collectors_for
from tests.support import factories
from tests.support.daemon import Daemon, daemon
from tests.support.fault_report import measure
from tests.support.live import QUEUE, Live, announce
from tests.support.observer import Observation, Observer, decreased, polls, slow, stale
from tests.support.pages import Samples, every, value
from tests.support.redis_data import add_queues
from tests.support.servers import Server
from tests.support.waiting import wait_for

INTERVAL = 1.0
STALE_AFTER = 3.0
TIMEOUT = 3.0
"""Timeout of Redis in seconds: long enough that busy servers and slow pages do not exceed it."""
RECOVERY_POLLS = 5
"""Maximum number of polls from the end of a fault until the page is complete again: the poll in
progress, one before the next attempt is due (timeouts are longer than the interval here), two that
reach Redis, because the second one shows what discovery has found; and one because of a late page.
"""
_STALE_POLLS = 3
"""How many times longer than `stale_after` a sample may be shown, in polls of the idle exporter."""
_HUNG_AFTER = 15.0
"""Seconds after which a silent poller counts as hung: shorter than the default, so that a fault
could cause it. A poller that connects to a hanging Redis is silent for twice the timeout.
"""

CHILD = Path(__file__).parent / "child"
_LOOKS_AT_REST = 30
COLLECTORS = {each.name for each in collectors_for(factories.config())} | {Discovery.name}
ERRORS = "bullmq_exporter_collector_errors_total"


def config(url: str, interval: float = INTERVAL, stale_after: float = STALE_AFTER) -> str:
    """A configuration with one connection, `api`, and the shortest sync interval."""
    return f"""
poll: {{interval_seconds: {interval}, stale_after_seconds: {stale_after}}}
sync: {{interval_seconds: 1, timeout_seconds: {TIMEOUT}}}
connections:
  api: {{url: "{url}", connect_timeout_seconds: {TIMEOUT}, timeout_seconds: {TIMEOUT}}}
"""


class Harness:
    """An observed exporter, and a Redis with an idle queue and a live one."""

    def __init__(
        self, running: Daemon, idle: Daemon, server: Server, live: Live, stale_after: float
    ) -> None:
        self.running = running
        self.server = server
        self.live = live
        self.observer = Observer(running, idle)
        self._stale_polls = round(_STALE_POLLS * stale_after / INTERVAL)
        self._held_before = (0, 0)

    def close(self) -> None:
        self.observer.close()
        self.live.stop()

    @property
    def last(self) -> Observation:
        """The newest observation."""
        return self.observer.observations[-1]

    @property
    def samples(self) -> Samples:
        return self.last.samples

    def completed(self, seen: Observation) -> int:
        """The completed jobs of the live queue, according to the page."""
        return int(value(seen.samples, "bullmq_queue_jobs_completed_total", queue=QUEUE) or 0)

    def begin(self) -> None:
        """Wait until the queue has been polled, start the work, and observe it without faults."""
        wait_for(self.observer.observations.__len__, "a first page")
        seen = "bullmq_queue_jobs_completed_total"
        wait_for(lambda: value(self.samples, seen, queue=QUEUE) == 0, "the live queue is seen")
        self.live.start()
        wait_for(lambda: self.completed(self.last) > 0, "live work is seen")
        self.running.get("/health/redis")  # the first such request starts a thread that stays
        since = time.monotonic()
        wait_for(lambda: len(self.observer.since(since)) >= _LOOKS_AT_REST, "looks at rest")
        self._held_before = _held(self.observer.since(since))

    def complete(self, seen: Observation, done: int) -> bool:
        """Whether the page is complete: Redis up, all collectors, this number of completed jobs."""
        success = every(seen.samples, "bullmq_exporter_collector_success")
        worked = {dict(labels)["collector"] for (_, labels), ok in success.items() if ok}
        up = value(seen.samples, "bullmq_up") == 1
        return up and worked >= COLLECTORS and self.completed(seen) >= done

    def keys(self) -> set[bytes]:
        """The keys in Redis, without those of the live queue and of the sync test (with a TTL)."""
        client = self.server.client()
        found = set(client.scan_iter(count=1000))
        own = {key for key in found if key.startswith(b"bullmq-exporter:sync:")}
        assert all(client.ttl(key) != -1 for key in own)
        return {key for key in found - own if not key.startswith(b"bull:%b:" % QUEUE.encode())}

    @contextlib.contextmanager
    def fault(
        self, name: str, *errors: str, perhaps: str = "", loses_keys: bool = False
    ) -> Iterator[Fault]:
        """Run a fault, which starts and ends in the `with` block; assert at the end what must hold.

        `errors` are the error classes that must be counted; none if Redis stays reachable.
        `perhaps` is one that may be counted as well.

        - Pages are served about as fast as those of an exporter whose Redis has no fault: see
          `slow`.
        - `/-/healthy` returns 200.
        - No counter decreases, and no sample is shown much longer than
          `poll.stale_after_seconds`.
        - The page is complete within `RECOVERY_POLLS` after the end, including the jobs of
          that time.
        - The process has no more descriptors and threads than before, and Redis no more keys.
        """
        done = self.live.completed
        wait_for(lambda: self.complete(self.last, done), "the page is complete before")
        keys, before = self.keys(), self.samples
        first, began = len(self.observer.observations), time.monotonic()
        fault = Fault(self)
        yield fault
        ended = time.monotonic()
        done = fault.done if fault.done is not None else self.live.completed
        back = wait_for(
            lambda: next((s for s in self.observer.since(ended) if self.complete(s, done)), None),
            "the page is complete again",
        )
        wait_for(lambda: self._released(back.at), f"no more is held than {self._held_before}")
        seen = self.observer.observations[first:]
        recovery = [each for each in self.observer.since(ended) if each.at <= back.at]
        measure(name, ", ".join(errors), (back.at - ended, polls(recovery)), seen)
        during = [each for each in seen if each.at >= began and each.requested_at <= ended]
        problems = [
            *self.observer.failures,
            *slow(during, TIMEOUT),
            *decreased(self.observer.observations),
            *stale(seen, self._stale_polls),
            *(f"/-/healthy: {each.healthy}" for each in seen if each.healthy != 200),
        ]
        assert not problems, problems
        counted = _counted(before, self.samples)
        assert counted - {perhaps} == set(errors), counted
        assert polls(recovery) <= RECOVERY_POLLS, polls(recovery)
        if not errors:
            assert {value(each.samples, "bullmq_up") for each in seen} == {1}
        added = self.keys() - keys
        assert not added, added
        assert loses_keys or self.keys() == keys

    def end(self) -> None:
        """Stop the work, and assert that every job was counted exactly once."""
        self.live.stop()
        done, unsure = self.live.completed, self.live.unconfirmed
        wait_for(lambda: self.completed(self.last) >= done, f"{done} jobs")
        assert self.completed(self.last) <= done + unsure

    def _released(self, since: float) -> bool:
        seen = self.observer.since(since)
        if not seen:
            return False
        return all(
            now <= before for now, before in zip(_held(seen), self._held_before, strict=True)
        )


class Fault:
    """A fault in progress."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self.done: int | None = None
        """Number of completed jobs that the page must have afterwards; None: all until the end."""

    def wait_until_reported(self, error: str) -> None:
        """Wait until `bullmq_up` is 0 and `/health/redis` reports this error class."""
        wait_for(lambda: value(self._harness.samples, "bullmq_up") == 0, "bullmq_up 0")
        # `bullmq_up` may be 0 because of stale samples while the poller waits for its timeout
        wait_for(lambda: (self.last_error() or {}).get("error") == error, f"error {error}")

    def last_error(self) -> dict[str, str] | None:
        """The last error of the connection, which must be down, from `/health/redis`."""
        answer = self._harness.running.get("/health/redis")
        connection = answer.json["connections"]["api"]
        assert (answer.status, connection["status"]) == (503, "down")
        last: dict[str, str] | None = connection["last_error"]
        return last

    def wait_until_stale(self) -> None:
        """Wait until all samples are withdrawn."""
        wait_for(self._nothing_shown, "samples are withdrawn")

    def _nothing_shown(self) -> bool:
        samples = self._harness.samples
        shown = ("bullmq_queue_size", "bullmq_redis_keys", "bullmq_queue_jobs_completed_total")
        return not any(every(samples, name) for name in shown)


@contextlib.contextmanager
def harness(
    folder: Path,
    idle: Daemon,
    server: Server,
    live: Live,
    *,
    url: str | None = None,
    stale_after: float = STALE_AFTER,
    **extra: str,
) -> Iterator[Harness]:
    """An exporter that reaches the server by this URL, with work in progress."""
    announce(server.client())
    add_queues(server.client(), "still")
    env = {"PYTHONPATH": str(CHILD), "TEST_HUNG_AFTER_SECONDS": str(_HUNG_AFTER)} | extra
    settings = config(url or server.url, stale_after=stale_after)
    with daemon(folder, settings, **env) as running:
        found = Harness(running, idle, server, live, stale_after)
        try:
            found.begin()
            yield found
        finally:
            found.close()


def _held(seen: Sequence[Observation]) -> tuple[int, int]:
    """The minimum of descriptors and threads: the sync test briefly has its own."""
    return min(each.descriptors for each in seen), min(each.threads for each in seen)


def _counted(before: Samples, after: Samples) -> set[str]:
    """The error classes whose counters increased."""
    grown = (key for key, n in every(after, ERRORS).items() if n > before.get(key, 0))
    return {dict(labels)["error"] for _, labels in grown}

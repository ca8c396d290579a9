"""Producers with the real BullMQ library, in place of API services."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from bullmq import FlowProducer, Queue

from exporter.demo.loads import Flow, Load, Scheduler
from exporter.demo.scenarios import Deletion, LostChildren, Pause, PoisonJob, Scenario

# limits the number of finished jobs
_KEEP: Final = {"removeOnComplete": {"count": 1000}, "removeOnFail": {"count": 200}}
_BATCH: Final = 250


async def produce(scenario: Scenario, url: str) -> None:
    """Add the scenario's jobs until cancelled."""
    async with asyncio.TaskGroup() as group:
        for load in scenario.loads:
            group.create_task(_produce_load(load, url))
        match scenario.fault:
            case Pause():
                group.create_task(_pause(scenario.fault, url))
            case LostChildren():
                group.create_task(_lose_children(scenario, scenario.fault, url))
            case PoisonJob():
                group.create_task(_add_poison(scenario.fault, url))
            case Deletion():
                group.create_task(_delete(scenario.fault, url))


async def _produce_load(load: Load, url: str) -> None:
    async with _queue(load.queue, url) as queue, asyncio.TaskGroup() as group:
        if load.scheduler is not None:
            await _schedule(queue, load.scheduler)
        if load.kinds:
            group.create_task(_add_jobs(queue, load))
        if load.flow is not None:
            group.create_task(_add_flows(load.queue, load.flow, url))


async def _add_jobs(queue: Queue, load: Load) -> None:
    for first in range(0, load.backlog, _BATCH):
        last = min(first + _BATCH, load.backlog)
        await queue.addBulk([job(load, number) for number in range(first, last)])
    number = load.backlog
    while True:
        await asyncio.sleep(random.expovariate(1 / load.every_seconds))
        await queue.add(**job(load, number))
        number += 1


async def _add_flows(queue: str, flow: Flow, url: str) -> None:
    producer = FlowProducer(url)
    try:
        while True:
            await producer.add(_family(queue, flow, _KEEP))
            await asyncio.sleep(random.expovariate(1 / flow.every_seconds))
    finally:
        await producer.close()


def _family(queue: str, flow: Flow, options: dict[str, Any]) -> dict[str, Any]:
    """A parent with its children, which have these options."""
    child = {"name": flow.child, "queueName": flow.child_queue, "data": {}, "opts": options}
    parent = {"name": flow.name, "queueName": queue, "data": {}, "opts": _KEEP}
    return parent | {"children": [child] * flow.children}


async def _lose_children(scenario: Scenario, fault: LostChildren, url: str) -> None:
    (flow,) = (load.flow for load in scenario.loads if load.queue == fault.queue and load.flow)
    producer = FlowProducer(url)
    try:
        async with _queue(flow.child_queue, url) as queue:
            while True:
                # delayed, so that no worker takes them before they are deleted
                family = _family(fault.queue, flow, {"delay": 3_600_000})
                added = await producer.add(family) or {"children": []}
                for child in added["children"]:
                    await queue.client.zrem(queue.toKey("delayed"), child["job"].id)
                    await queue.client.delete(queue.toKey(child["job"].id))
                await asyncio.sleep(fault.every_seconds)
    finally:
        await producer.close()


async def _add_poison(poison: PoisonJob, url: str) -> None:
    async with _queue(poison.queue, url) as queue:
        await queue.add(poison.name, {}, _KEEP)


async def _schedule(queue: Queue, scheduler: Scheduler) -> None:
    every = {"every": int(scheduler.every_seconds * 1000)}
    await queue.upsertJobScheduler(scheduler.name, every, scheduler.name, {}, _KEEP)


async def _pause(pause: Pause, url: str) -> None:
    await asyncio.sleep(pause.after_seconds)
    async with _queue(pause.queue, url) as queue:
        await queue.pause()


async def _delete(deletion: Deletion, url: str) -> None:
    async with _queue(deletion.queue, url) as queue:
        while True:
            await asyncio.sleep(deletion.every_seconds)
            await queue.client.delete(queue.toKey("delayed"))


@asynccontextmanager
async def _queue(name: str, url: str) -> AsyncIterator[Queue]:
    queue = Queue(name, {"connection": url})
    try:
        yield queue
    finally:
        await queue.close()


def job(load: Load, number: int) -> dict[str, Any]:
    """The load's job with this number, as arguments of `Queue.add` and `Queue.addBulk`.

    Its data state how many attempts fail, so that the configured shares are met exactly and evenly
    instead of at random.
    """
    kind = load.kinds[number % len(load.kinds)]
    failing = 0
    if _in_share(number, load.failing):
        failing = kind.options.get("attempts", 1)
    elif _in_share(number, load.retried) and kind.options.get("attempts", 1) > 1:
        failing = 1
    return {"name": kind.name, "data": {"failing": failing}, "opts": {**_KEEP, **kind.options}}


def _in_share(number: int, share: float) -> bool:
    """Whether this number belongs to the share, which is spread evenly over all numbers."""
    return int((number + 1) * share) > int(number * share)

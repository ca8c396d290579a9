"""The connection names of workers."""

from __future__ import annotations

from collections.abc import Collection

from exporter.bullmq import WORKER_SUFFIX, Queue, worker_names


class WorkerNames:
    """The connection names of the workers of all queues."""

    def __init__(self, queues: Collection[Queue]) -> None:
        self.queues = len(queues)
        """Their number."""
        self._workers: dict[bytes, tuple[Queue, bool]] = {}
        for queue in queues:
            node, python = worker_names(queue)
            self._workers.setdefault(python, (queue, False))
            self._workers[node] = (queue, True)
        self._lengths = frozenset(map(len, self._workers))
        self._longest = max(self._lengths, default=0)

    def find(self, name: bytes) -> tuple[Queue, bool] | None:
        """The queue of the worker with that connection name, and whether it is a Node worker.

        `:w:` and the worker's own name may follow the queue's; both may contain `:w:`. The longest
        queue name wins. A name is cut only at lengths that queues have, so that one of nothing but
        `:w:` costs no more than another.
        """
        found, end = self._workers.get(name), min(len(name), self._longest + 1)
        while found is None and end > 0:
            # a suffix that starts before `end`
            end = name.rfind(WORKER_SUFFIX, 0, end + len(WORKER_SUFFIX) - 1)
            if end in self._lengths:
                found = self._workers.get(name[:end])
        return found


def own_name(name: bytes, queue: Queue, *, node: bool) -> bytes:
    """What a worker of the queue calls itself in its connection name; empty if it has no name."""
    # base64 contains no colon, while a queue's name may contain `:w:`
    start = name.find(WORKER_SUFFIX, len(queue.prefix.encode()) + 1) if node else len(queue.key) - 1
    return name[start + len(WORKER_SUFFIX) :] if start >= 0 else b""

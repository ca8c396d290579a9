"""Reply caches: which rows changed, and what moves with a queue."""

from __future__ import annotations

from exporter.bullmq import queue_of
from exporter.collectors.queues.batches import QueueBatch, make_batches
from exporter.collectors.queues.memory import PerRow, ReplyCache


def test_only_rows_with_a_different_reply_are_changed() -> None:
    cache = ReplyCache(4)
    assert cache.update([0, 2], [b"a", [b"b"]]) == [0, 2]
    assert cache.update([0, 2], [b"a", [b"b"]]) == []
    assert cache.update([0, 2], [b"a", [b"c"]]) == [2]


def test_a_row_that_is_no_longer_asked_about_changes_once() -> None:
    cache = ReplyCache(3)
    cache.update([0, 1], [b"a", b"b"])
    assert cache.update([0], [b"a"]) == [1]
    assert cache[1] is None
    assert cache.update([0], [b"a"]) == []


def test_groups_of_replies_omit_empty_ones() -> None:
    cache = ReplyCache(2)
    assert cache.update_groups([0, 1], [2, 1], [[b"p", b"1"], [], [b"q", b"2"]]) == [0, 1]
    assert cache[0] == [[b"p", b"1"]]
    assert cache.update_groups([0, 1], [1, 1], [[b"p", b"1"], [b"q", b"2"]]) == []


def test_a_replaced_reply_can_change_back() -> None:
    cache = ReplyCache(1)
    cache.update_groups([0], [1], [[b"p", b"1"]])
    cache.put(0, [[b"p", b"1"], [b"q", b"2"]])
    assert cache.update_groups([0], [1], [[b"p", b"1"]]) == [0]


def test_after_forget_every_row_is_changed() -> None:
    cache = ReplyCache(2)
    cache.update([0], [b"a"])
    cache.forget()
    assert cache.update([0], [b"a"]) == [0, 1]


def memories(batch: QueueBatch, row: int) -> list[object]:
    """Everything that the subjects remember about a row."""
    return [
        memory[row]
        for subject in batch.subjects
        for memory in vars(subject).values()
        if isinstance(memory, PerRow)
    ]


def test_memory_moves_with_its_queue() -> None:
    mail, sms = queue_of("bull", "mail"), queue_of("bull", "sms")
    (previous,) = make_batches([mail, sms])
    for subject in previous.subjects:
        for memory in vars(subject).values():
            if isinstance(memory, PerRow):
                memory[1] = "known of sms"
    (batch,) = make_batches([sms, queue_of("bull", "new")], [previous])
    assert set(memories(batch, 0)) == {"known of sms"}
    assert "known of sms" not in memories(batch, 1)

"""Shards: each queue belongs to one shard, the same in every process, and few move."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config.loader import load
from exporter.config.shard import Shard, parse_shard, part_of
from exporter.config.show import show

KEYS = [b"bull\0queue-%d" % number for number in range(10_000)]


@pytest.mark.parametrize(
    ("text", "shard"),
    [
        ("1/1", Shard(1, 1)),
        ("2/5", Shard(2, 5)),
        ("exporter-0/5", Shard(1, 5)),
        ("bullmq-exporter-4/5", Shard(5, 5)),
    ],
)
def test_parse_shard(text: str, shard: Shard) -> None:
    assert parse_shard(text) == shard


@pytest.mark.parametrize(
    "text",
    [
        "0/5",
        "6/5",
        "1/0",
        "01/5",
        "1",
        "1/5/5",
        "exporter-5/5",
        "exporter/5",
        "-1/5",
        "a-01/5",
        "²/5",
    ],
)
def test_invalid_shards_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_shard(text)


def test_a_pod_derives_its_shard_from_its_name(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text('queues: {shard: "${POD_NAME}/3"}')
    config = load(file, {"POD_NAME": "exporter-2"})
    assert config.queues.shard == Shard(3, 3)
    assert not config.queues.first_shard
    assert "shard: 3/3" in show(config)


def test_the_assignment_never_changes() -> None:
    """Processes of different versions share the queues of one installation."""
    assert [part_of(key, 5) for key in KEYS[:8]] == [4, 2, 3, 5, 5, 1, 3, 5]
    assert [part_of(key, 50) for key in KEYS[:8]] == [25, 10, 22, 33, 23, 30, 49, 17]
    assert part_of("prefix\0žluťoučký".encode(), 9) == 8


def test_shards_have_similar_sizes() -> None:
    for parts in (2, 5, 9, 50):
        sizes = [0] * parts
        for key in KEYS:
            sizes[part_of(key, parts) - 1] += 1
        expected = len(KEYS) / parts
        # five standard deviations
        assert all(abs(size - expected) < 5 * expected**0.5 for size in sizes), sizes


@pytest.mark.parametrize("parts", [1, 4, 8, 9])
def test_another_shard_moves_only_its_own_queues(parts: int) -> None:
    moved = [key for key in KEYS if part_of(key, parts) != part_of(key, parts + 1)]
    assert {part_of(key, parts + 1) for key in moved} == {parts + 1}
    assert len(moved) == pytest.approx(len(KEYS) / (parts + 1), rel=0.1)

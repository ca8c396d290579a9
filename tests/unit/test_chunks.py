"""Separately compressed parts of a page form one gzip file."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.exposition import chunks as ours
from exporter.exposition.chunks import combined_crc, deflate, join_gzip

TEXTS = st.lists(st.tuples(st.binary(max_size=2000), st.booleans()), max_size=8)


@given(TEXTS)
def test_compressed_and_plain_parts_join_into_one_gzip_member(
    parts: list[tuple[bytes, bool]],
) -> None:
    made = join_gzip(deflate(text) if alone else text for text, alone in parts)
    # one member: some clients read only the first
    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert reader.decompress(made) == b"".join(text for text, _ in parts)
    assert reader.eof
    assert reader.unused_data == b""
    assert gzip.decompress(made) == b"".join(text for text, _ in parts)


@given(st.binary(), st.binary())
def test_combined_crc_is_that_of_the_concatenation(first: bytes, second: bytes) -> None:
    found = combined_crc(zlib.crc32(first), zlib.crc32(second), len(second))
    assert found == zlib.crc32(first + second)


def test_a_chunk_keeps_its_text() -> None:
    text = b'bullmq_up{connection="api"} 1\n' * 10_000
    chunk = deflate(text)
    assert chunk.text == text
    assert len(chunk.deflated) < len(text) / 20


def test_zlib_is_used_without_isal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "_library", zlib)
    text = b'bullmq_queue_size{queue="mail"} 7\n' * 1000
    made = join_gzip([b"# HELP\n", deflate(text)])
    assert gzip.decompress(made) == b"# HELP\n" + text

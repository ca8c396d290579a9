"""Explains in plain words why two connections do not see the same data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from exporter.connection import Metadata
from exporter.state.snapshots import Pair

_COMPARED = ("address", "url_hash", "db", "run_id", "role", "replication_id", "version", "mode")


def differing(a: Metadata, b: Metadata) -> list[str]:
    """The metadata fields that differ, but would not if both connections reached one database."""
    left, right = asdict(a), asdict(b)
    return [name for name in _COMPARED if left[name] != right[name]]


def explain_pair(pair: Pair, metadata: Mapping[str, Metadata]) -> str:
    """The result of a pair's test in one sentence; for a failure, its cause."""
    if pair.not_permitted:
        return (
            f"not tested: the ACL of {pair.writer} or {pair.reader} does not permit "
            f"{pair.not_permitted} on the sync test's keys"
        )
    if pair.passed:
        milliseconds = (pair.propagation_seconds or 0.0) * 1000
        return f"{pair.reader} sees what {pair.writer} writes, after {milliseconds:.1f} ms"
    return _cause(pair, metadata.get(pair.writer), metadata.get(pair.reader))


def _cause(pair: Pair, writer: Metadata | None, reader: Metadata | None) -> str:
    failed = {name: check.detail for name, check in pair.checks.items() if not check.ok}
    if "writable" in failed:
        return _not_writable(pair, failed["writable"], writer)
    if writer is None or reader is None:
        return f"{pair.reader} cannot reach its Redis: {failed.get('set_get', 'unknown')}"
    if "same_database" in failed and not writer.same_keyspace(reader):
        return _different_databases(pair, writer, reader)
    if "set_get" in failed and reader.role == "slave":
        return (
            f"{pair.reader} reads a replica at {reader.address} that does not follow its master "
            f"(master_link_status {reader.master_link or 'unknown'}): {failed['set_get']}"
        )
    check, detail = next(iter(failed.items()), ("cleanup", "not finished"))
    return f"from {pair.writer} to {pair.reader}, the check {check} failed: {detail}"


def _not_writable(pair: Pair, detail: str, writer: Metadata | None) -> str:
    if "READONLY" in detail or (writer is not None and writer.role == "slave"):
        where = f" at {writer.address}" if writer is not None else ""
        return f"{pair.writer} reaches a read-only replica{where}: it can neither add nor take jobs"
    if "OOM" in detail:
        where = f" at {writer.address}" if writer is not None else ""
        return f"the Redis of {pair.writer}{where} is out of memory for writes: {detail}"
    if writer is None:
        return f"{pair.writer} cannot reach its Redis: {detail}"
    return f"{pair.writer} cannot write to {writer.address}: {detail}"


def _different_databases(pair: Pair, writer: Metadata, reader: Metadata) -> str:
    names = f"{pair.writer} and {pair.reader}"
    if writer.run_id and writer.run_id == reader.run_id:
        return (
            f"{names} reach the same Redis server but different databases: "
            f"db {writer.db} and db {reader.db} at {reader.address}"
        )
    return f"{names} reach different Redis servers: {_server(writer)}, {_server(reader)}"


def _server(metadata: Metadata) -> str:
    run_id = f"run_id {metadata.run_id[:8]}… at " if metadata.run_id else "hidden run_id at "
    return f"{run_id}host {metadata.address}/{metadata.db}"


def groups_hint(pair: Pair, metadata: Mapping[str, Metadata]) -> str:
    """How to declare that a pair is separate on purpose; empty if it fails for another reason."""
    writer, reader = metadata.get(pair.writer), metadata.get(pair.reader)
    check = pair.checks.get("same_database")
    if pair.writer == pair.reader or writer is None or reader is None or check is None:
        return ""
    if check.ok or writer.same_keyspace(reader):
        return ""
    example = f"[[{pair.writer}, …], [{pair.reader}, …]]"
    return f"if they are separate on purpose, set sync.groups: {example}"


def verdict(
    pairs: Sequence[Pair], metadata: Mapping[str, Metadata], *, grouped: bool = False
) -> str:
    """All results in one line: the first cause of failure and the number of other causes.

    `grouped`: whether `sync.groups` is set, so that not all pairs are tested.
    """
    failed = [pair for pair in pairs if pair.passed is False]
    if not failed:
        tested = sum(pair.passed is True for pair in pairs)
        if not tested:
            return "the sync test is not permitted; whether connections share jobs is unknown"
        if len({pair.writer for pair in pairs}) == 1:
            name = pairs[0].writer
            return f"{name} sees what it writes; add the other services' Redis URLs to compare them"
        others = "the others of its group" if grouped else "the others"
        return f"every connection sees what {others} write"
    # both directions of a pair have one cause, and a dead connection fails all its pairs
    causes = list(dict.fromkeys(explain_pair(pair, metadata) for pair in _one_direction(failed)))
    more = f" (and {len(causes) - 1} more)" if len(causes) > 1 else ""
    hint = "" if grouped else next(filter(None, (groups_hint(p, metadata) for p in failed)), "")
    return causes[0] + more + (f"; {hint}" if hint else "")


def _one_direction(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs without those whose opposite direction comes earlier."""
    first: dict[frozenset[str], Pair] = {}
    for pair in pairs:
        first.setdefault(frozenset((pair.writer, pair.reader)), pair)
    return list(first.values())

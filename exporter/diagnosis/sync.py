"""Why two connections do not see the same data, in words that a tired person understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from exporter.connection import Metadata
from exporter.state.snapshots import Pair

_COMPARED = ("address", "url_hash", "db", "run_id", "role", "replication_id", "version", "mode")


def differing(a: Metadata, b: Metadata) -> list[str]:
    """The fields in which two connections differ and should not, if they are one database."""
    left, right = asdict(a), asdict(b)
    return [name for name in _COMPARED if left[name] != right[name]]


def explain_pair(pair: Pair, metadata: Mapping[str, Metadata]) -> str:
    """One sentence on a pair's result, the cause first."""
    if pair.not_permitted:
        return (
            f"not tested: the user of {pair.writer} or {pair.reader} may not run "
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
        return f"{pair.reader} does not reach its Redis: {failed.get('set_get', 'unknown')}"
    if "same_database" in failed and not writer.same_keyspace(reader):
        return _apart(pair, writer, reader)
    if "set_get" in failed and reader.role == "slave":
        return (
            f"{pair.reader} reads a replica at {reader.address} that does not follow its master "
            f"(master_link_status {reader.master_link or 'unknown'}): {failed['set_get']}"
        )
    step, detail = next(iter(failed.items()), ("cleanup", "it was not finished"))
    return f"{pair.writer} writes and {pair.reader} reads, and {step} fails: {detail}"


def _not_writable(pair: Pair, detail: str, writer: Metadata | None) -> str:
    if "READONLY" in detail or (writer is not None and writer.role == "slave"):
        where = f" at {writer.address}" if writer is not None else ""
        return f"{pair.writer} reaches a read-only replica{where}: it can neither add nor take jobs"
    if "OOM" in detail:
        where = f" at {writer.address}" if writer is not None else ""
        return f"the Redis of {pair.writer}{where} has no memory left for writes: {detail}"
    if writer is None:
        return f"{pair.writer} does not reach its Redis: {detail}"
    return f"{pair.writer} cannot write to {writer.address}: {detail}"


def _apart(pair: Pair, writer: Metadata, reader: Metadata) -> str:
    names = f"{pair.writer} and {pair.reader}"
    if writer.run_id and writer.run_id == reader.run_id:
        return (
            f"{names} reach the same Redis server but different databases: "
            f"db {writer.db} and db {reader.db} at {reader.address}"
        )
    return f"{names} reach different Redis servers: {_who(writer)}, {_who(reader)}"


def _who(metadata: Metadata) -> str:
    run_id = f"run_id {metadata.run_id[:8]}… at " if metadata.run_id else "hidden run_id at "
    return f"{run_id}host {metadata.address}/{metadata.db}"


def verdict(pairs: Sequence[Pair], metadata: Mapping[str, Metadata]) -> str:
    """One line on all pairs: the first cause, each cause once."""
    failed = [pair for pair in pairs if pair.passed is False]
    if not failed:
        tested = sum(pair.passed is True for pair in pairs)
        if not tested:
            return "the sync test is not permitted: nothing is known of who sees whose jobs"
        if len({pair.writer for pair in pairs}) == 1:
            name = pairs[0].writer
            return f"{name} sees what it writes; name the other services' Redis to compare them"
        return "every connection sees what the others write"
    # a pair and its mirror have one cause, and a dead connection fails all its pairs
    causes = list(dict.fromkeys(explain_pair(pair, metadata) for pair in _told(failed)))
    more = f" (and {len(causes) - 1} more)" if len(causes) > 1 else ""
    return causes[0] + more


def _told(failed: Sequence[Pair]) -> list[Pair]:
    """Without the mirror of a pair that is told already."""
    told: dict[frozenset[str], Pair] = {}
    for pair in failed:
        told.setdefault(frozenset((pair.writer, pair.reader)), pair)
    return list(told.values())

"""Sentinels: finds the current master by asking them in turn."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from exporter.config.models import Connection, Sentinel, split_host_port
from exporter.config.url import RedisURL
from exporter.connection.dial import dial, redis_py_failure
from exporter.connection.errors import ErrorClass, RedisFailure
from exporter.connection.replies import is_string_list, unexpected
from exporter.parsing import is_digits

_UNREACHABLE: Final = (ErrorClass.CONNECTION, ErrorClass.TIMEOUT)


@dataclass(frozen=True, slots=True)
class SentinelReply:
    """The reply of one sentinel: the master's settings, or why there are none."""

    sentinel: str
    """`host:port`."""
    master: Connection | None = None
    failure: RedisFailure | None = None


def ask_sentinels(settings: Connection, sentinel: Sentinel) -> Iterator[SentinelReply]:
    """The replies of the sentinels, each asked only when its turn comes.

    SENTINEL GET-MASTER-ADDR-BY-NAME replies null for an unknown name, see
    https://redis.io/docs/latest/develop/reference/sentinel-clients/.
    """
    for node in sentinel.nodes:
        try:
            address = _ask(_sentinel_settings(settings, sentinel, node), sentinel.master)
        except RedisFailure as failure:
            yield SentinelReply(node, failure=failure)
            continue
        if address is None:
            text = f"does not know the master {sentinel.master}; check sentinel.master"
            yield SentinelReply(node, failure=RedisFailure(ErrorClass.PROTOCOL, text))
        else:
            yield SentinelReply(node, master=settings.at(*address))


def find_master(settings: Connection, sentinel: Sentinel) -> tuple[Connection, str]:
    """The master's settings from the first sentinel that reports one, and that sentinel.

    Raises `RedisFailure` if none does.
    """
    failures: list[tuple[str, RedisFailure]] = []
    for reply in ask_sentinels(settings, sentinel):
        if reply.master is not None:
            return reply.master, reply.sentinel
        if reply.failure is not None:
            failures.append((reply.sentinel, reply.failure))
    reasons = "; ".join(f"{node}: {failure.text}" for node, failure in failures)
    kinds = [failure.kind for _, failure in failures]
    # the failure of a sentinel that replied says more than that of an unreachable one
    kind = next((kind for kind in kinds if kind not in _UNREACHABLE), kinds[0])
    raise RedisFailure(kind, f"no sentinel reports the master {sentinel.master}: {reasons}")


def _sentinel_settings(settings: Connection, sentinel: Sentinel, node: str) -> Connection:
    host, port = split_host_port(node)
    return Connection(
        url=RedisURL("redis", host, port, "", 0, None, None),
        password_file=sentinel.password_file,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        timeout_seconds=settings.timeout_seconds,
    )


def _ask(settings: Connection, master: str) -> tuple[str, int] | None:
    connection = dial(settings)
    try:
        connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master)
        reply = connection.read_response()
    except Exception as error:
        raise redis_py_failure(error) from None
    finally:
        with contextlib.suppress(Exception):
            connection.disconnect()
    if reply is None:
        return None
    if not (is_string_list(reply) and len(reply) == 2 and is_digits(reply[1])):
        raise unexpected("SENTINEL")
    return reply[0].decode("utf-8", "backslashreplace"), int(reply[1])

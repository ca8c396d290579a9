"""Sentinels: which of them answers, and whom it names as the master."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from exporter.config.models import Connection, Sentinel, split_host_port
from exporter.config.url import RedisURL
from exporter.connection.dial import dial, redis_py_failure
from exporter.connection.errors import ErrorClass, RedisFailure
from exporter.connection.replies import are_texts, unexpected
from exporter.parsing import is_digits

_NOT_THERE: Final = (ErrorClass.CONNECTION, ErrorClass.TIMEOUT)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one sentinel says: the master's settings, or why it names none."""

    sentinel: str
    """`host:port`."""
    master: Connection | None = None
    failure: RedisFailure | None = None


def ask_sentinels(settings: Connection, sentinel: Sentinel) -> Iterator[Answer]:
    """The sentinels' answers, each asked when it is its turn.

    SENTINEL GET-MASTER-ADDR-BY-NAME answers null for a name that is not known, see
    https://redis.io/docs/latest/develop/reference/sentinel-clients/.
    """
    for node in sentinel.nodes:
        try:
            address = _ask(_sentinel_settings(settings, sentinel, node), sentinel.master)
        except RedisFailure as failure:
            yield Answer(node, failure=failure)
            continue
        if address is None:
            text = f"knows no master {sentinel.master}; check sentinel.master"
            yield Answer(node, failure=RedisFailure(ErrorClass.PROTOCOL, text))
        else:
            yield Answer(node, master=settings.at(*address))


def find_master(settings: Connection, sentinel: Sentinel) -> tuple[Connection, str]:
    """The master's settings, by the first sentinel that names one, and that sentinel.

    Raises `RedisFailure` where none does.
    """
    failures: list[tuple[str, RedisFailure]] = []
    for answer in ask_sentinels(settings, sentinel):
        if answer.master is not None:
            return answer.master, answer.sentinel
        if answer.failure is not None:
            failures.append((answer.sentinel, answer.failure))
    told = "; ".join(f"{node}: {failure.text}" for node, failure in failures)
    kinds = [failure.kind for _, failure in failures]
    # one that answers tells more than one that is not there
    kind = next((kind for kind in kinds if kind not in _NOT_THERE), kinds[0])
    raise RedisFailure(kind, f"no sentinel names the master {sentinel.master}: {told}")


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
    if not (are_texts(reply) and len(reply) == 2 and is_digits(reply[1])):
        raise unexpected("SENTINEL")
    return reply[0].decode("utf-8", "backslashreplace"), int(reply[1])

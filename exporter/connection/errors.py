"""Errors of Redis, in a fixed set of classes that is safe as label values."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import hiredis


class ErrorClass(StrEnum):
    """The values of the label `error`. The text of an error is only logged, never a label."""

    CONNECTION = "connection"
    """Connection refused or closed, host not resolved, or maxclients reached."""
    TIMEOUT = "timeout"
    AUTH = "auth"
    """User or password wrong or missing."""
    PERMISSION = "permission"
    LOADING = "loading"
    """Redis is reachable but temporarily not serving: LOADING, BUSY, MASTERDOWN, CLUSTERDOWN."""
    READONLY = "readonly"
    """A write was sent to a replica."""
    WRITES_REFUSED = "writes_refused"
    """Redis reads but does not write: a snapshot failed (MISCONF), memory is full (OOM), or too few
    replicas are connected (NOREPLICAS)."""
    PROTOCOL = "protocol"
    """An unexpected reply: a wrong type, an invalid database number, not the Redis protocol."""
    INTERNAL = "internal"
    """A bug in the exporter."""


_MAX_TEXT_CHARACTERS: Final = 1000


class RedisFailure(Exception):
    """A failed call to Redis: its class, and a text without secrets.

    A long text is cut: it may be an error reply, and is logged, kept and shown.
    """

    def __init__(self, kind: ErrorClass, text: str) -> None:
        if len(text) > _MAX_TEXT_CHARACTERS:
            text = f"{text[:_MAX_TEXT_CHARACTERS]}… (cut, of {len(text)} characters)"
        self.kind = kind
        self.text = text
        super().__init__(f"{kind}: {text}")


ONE_NODE: Final = "this is one node of a cluster; set cluster: true to read the whole cluster"
"""Said of a server that redirects commands to others."""


class ReplyError(RedisFailure):
    """An error reply to one command; in a batch, it is returned in place of the reply."""

    def __init__(self, text: str) -> None:
        super().__init__(_class_of_reply(text[:_MAX_TEXT_CHARACTERS]), text)

    @property
    def not_available(self) -> bool:
        """Whether the command is not permitted or not supported, rather than failing."""
        return self.kind is ErrorClass.PERMISSION

    @property
    def of_cluster(self) -> bool:
        """Whether it is the error of a cluster's node that does not serve the keys."""
        return self.text.split(" ", 1)[0] in ("MOVED", "ASK", "CROSSSLOT")

    @property
    def refused(self) -> str:
        """The refused command, or the whole text if Redis does not name it."""
        match = _REFUSED.search(self.text)
        return match.group(1).lower() if match else self.text


class NodeError(ReplyError):
    """In place of a reply: the node of a cluster failed, or no node serves the slot."""

    def __init__(self, kind: ErrorClass, text: str) -> None:
        RedisFailure.__init__(self, kind, text)

    @classmethod
    def of(cls, node: str, failure: RedisFailure) -> NodeError:
        """The failure of the node `host:port`."""
        return cls(failure.kind, f"node {node}: {failure.text}")


_REFUSED: Final = re.compile(r"['`]([^'`]+)['`]")

# First word of error replies; see the redis.io documentation of the commands and of ACLs.
_CLASSES: Final = {
    "NOAUTH": ErrorClass.AUTH,
    "WRONGPASS": ErrorClass.AUTH,
    "NOPERM": ErrorClass.PERMISSION,
    "LOADING": ErrorClass.LOADING,
    "BUSY": ErrorClass.LOADING,
    "MASTERDOWN": ErrorClass.LOADING,
    "CLUSTERDOWN": ErrorClass.LOADING,
    "READONLY": ErrorClass.READONLY,
    "MISCONF": ErrorClass.WRITES_REFUSED,
    "OOM": ErrorClass.WRITES_REFUSED,
    "NOREPLICAS": ErrorClass.WRITES_REFUSED,
}
_CLASSES_BY_TEXT: Final = (
    ("ERR unknown command", ErrorClass.PERMISSION),
    ("ERR unknown subcommand", ErrorClass.PERMISSION),
    ("ERR max number of clients", ErrorClass.CONNECTION),
    ("ERR invalid password", ErrorClass.AUTH),
    ("ERR AUTH", ErrorClass.AUTH),
    ("ERR Client sent AUTH", ErrorClass.AUTH),
)


def _class_of_reply(text: str) -> ErrorClass:
    for start, kind in _CLASSES_BY_TEXT:
        if text.startswith(start):
            return kind
    return _CLASSES.get(text.split(" ", 1)[0], ErrorClass.PROTOCOL)


_CLASSES_BY_EXCEPTION: Final = (
    (TimeoutError, ErrorClass.TIMEOUT),
    (OSError, ErrorClass.CONNECTION),
    (hiredis.HiredisError, ErrorClass.PROTOCOL),
)


def failure_of(error: Exception) -> RedisFailure:
    """Convert an exception of the socket or of hiredis; drops its traceback."""
    if isinstance(error, RedisFailure):
        return error
    forget_frames(error)
    text = str(error) or type(error).__name__
    for kind, label in _CLASSES_BY_EXCEPTION:
        if isinstance(error, kind):
            return RedisFailure(label, text)
    return RedisFailure(ErrorClass.INTERNAL, f"{type(error).__name__}: {text}")


def forget_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of an exception and of its context.

    Their frames refer to connections, and often to the exception itself. Every failed attempt would
    leave a cycle, and the cycle collector runs too rarely.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__

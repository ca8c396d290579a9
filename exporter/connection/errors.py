"""What can go wrong with Redis, in a closed list of classes that are safe as labels."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import hiredis


class ErrorClass(StrEnum):
    """The values of the label `error`. The text of an error goes to the log only."""

    CONNECTION = "connection"
    """Refused, cut, unresolvable, or no more clients are let in."""
    TIMEOUT = "timeout"
    AUTH = "auth"
    """A wrong user or password, or one is missing."""
    PERMISSION = "permission"
    LOADING = "loading"
    """Redis is there but does not serve now: LOADING, BUSY, MASTERDOWN, CLUSTERDOWN."""
    READONLY = "readonly"
    PROTOCOL = "protocol"
    """An answer that was not expected: a wrong type, a wrong database number, garbage."""
    INTERNAL = "internal"
    """A mistake in the exporter itself."""


class RedisFailure(Exception):
    """A call to Redis that failed: its class, and a text without secrets."""

    def __init__(self, kind: ErrorClass, text: str) -> None:
        self.kind = kind
        self.text = text
        super().__init__(f"{kind}: {text}")


class ReplyError(RedisFailure):
    """An error that Redis answered to one command; in a batch it stands in the reply's place."""

    def __init__(self, text: str) -> None:
        super().__init__(_class_of_reply(text), text)

    @property
    def not_available(self) -> bool:
        """Whether the command is refused or unknown here, rather than failing."""
        return self.kind is ErrorClass.PERMISSION

    @property
    def refused(self) -> str:
        """The command that is refused, or the whole text where Redis does not name it."""
        match = _REFUSED.search(self.text)
        return match.group(1).lower() if match else self.text


class NodeError(ReplyError):
    """Stands in the place of the replies of a cluster's node that failed, or that there is not."""

    def __init__(self, kind: ErrorClass, text: str) -> None:
        RedisFailure.__init__(self, kind, text)

    @classmethod
    def of(cls, node: str, failure: RedisFailure) -> NodeError:
        """The failure of the node at `host:port`."""
        return cls(failure.kind, f"node {node}: {failure.text}")


_REFUSED: Final = re.compile(r"['`]([^'`]+)['`]")

# First words of error replies, see the redis.io documentation of each command and of ACLs.
_CLASSES: Final = {
    "NOAUTH": ErrorClass.AUTH,
    "WRONGPASS": ErrorClass.AUTH,
    "NOPERM": ErrorClass.PERMISSION,
    "LOADING": ErrorClass.LOADING,
    "BUSY": ErrorClass.LOADING,
    "MASTERDOWN": ErrorClass.LOADING,
    "CLUSTERDOWN": ErrorClass.LOADING,
    "READONLY": ErrorClass.READONLY,
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
    """An exception of the socket or of hiredis as our own; its traceback is let go."""
    if isinstance(error, RedisFailure):
        return error
    forget_frames(error)
    text = str(error) or type(error).__name__
    for kind, label in _CLASSES_BY_EXCEPTION:
        if isinstance(error, kind):
            return RedisFailure(label, text)
    return RedisFailure(ErrorClass.INTERNAL, f"{type(error).__name__}: {text}")


def forget_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of an exception, and of those that led to it.

    Their frames hold connections, and often the exception itself: a cycle at every failed try, for
    which the cycle collector, which comes by seldom, is too slow.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__

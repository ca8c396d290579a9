"""Declarations of the commands that the exporter sends; each stands where the command is used.

From them derive the ACL, the consequences of a refused command, and the replies of the fuzz tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from exporter.connection.client import Argument, pack
from exporter.connection.reply_bound import MAX_BATCH_BYTES

KEY: Final = "{key}"
"""Placeholder for a key in `Command.probe`."""
OWN_NAME: Final = "{name}"
"""Placeholder in `Command.probe` for the connection's name in CLIENT LIST."""

_MAX_NUMBER_BYTES: Final = 4096
"""Of a reply that is a number: there may be an error in its place."""
_MAX_VALUE_BYTES: Final = 16 << 20
"""Of a reply that contains values of users: a job's options, the ends of a list."""


def reply_limit(kind: type) -> int:
    """Largest plausible reply of that type, in bytes."""
    return _MAX_NUMBER_BYTES if kind is int else _MAX_VALUE_BYTES


def _body(arguments: Sequence[Argument]) -> bytes:
    """The arguments in the wire protocol, without the line that has their number."""
    return pack(*arguments).partition(b"\r\n")[2] if arguments else b""


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """A command; `on` packs it for the wire."""

    name: str
    """In upper case, with its subcommand: `LLEN`, `XINFO STREAM`."""
    suffix: str = ""
    """Appended to each key passed to `on`."""
    arguments: tuple[Argument, ...] = ()
    """Arguments after the keys."""
    reply: type = int
    """Type of the reply, unless it is nil or an error."""
    cost: str = ""
    """What is missing if Redis refuses the command, as a noun phrase."""
    probe: tuple[Argument, ...] | None = None
    """All arguments of a harmless call that tests the permission, with the placeholders `KEY` and
    `OWN_NAME`. None: one key, then `arguments`."""
    cluster: bool = False
    """Whether the command is sent only to clusters."""
    microseconds: float = 0.0
    """Redis' time for a call, as measured on a slow machine, of commands that have a budget."""
    large: bool = False
    """Whether a reply may be as large as all replies to a batch together: clients, keys, events."""
    _words: tuple[str, ...] = field(init=False, repr=False)
    """The name's parts, as they are sent."""
    _key_suffix: bytes = field(init=False, repr=False)
    _before_key: bytes = field(init=False, repr=False)
    _after_key: bytes = field(init=False, repr=False)
    """What surrounds the only key in the packed command."""

    def __post_init__(self) -> None:
        words, suffix = tuple(self.name.split()), self.suffix.encode()
        length = len(words) + 1 + len(self.arguments)
        for name, value in (
            ("_words", words),
            ("_key_suffix", suffix),
            ("_before_key", b"*%d\r\n%b$" % (length, _body(words))),
            ("_after_key", suffix + b"\r\n" + _body(self.arguments)),
        ):
            object.__setattr__(self, name, value)

    @property
    def limit(self) -> int:
        """Largest plausible reply, in bytes; more is not read, and ends the connection."""
        return MAX_BATCH_BYTES if self.large else reply_limit(self.reply)

    def on(self, *keys: bytes, more: Iterable[Argument] = ()) -> bytes:
        """The packed command on these keys plus the suffix; `more` are further arguments."""
        suffix = self._key_suffix
        if len(keys) == 1 and not more:
            # by hand, as jobs are asked for one by one: hiredis takes three times as long
            (key,) = keys
            size = len(key) + len(suffix)
            return b"%b%d\r\n%b%b" % (self._before_key, size, key, self._after_key)
        return pack(*self._words, *[key + suffix for key in keys], *self.arguments, *more)

    def probe_on(self, key: str, own_name: str) -> bytes:
        """The packed call that tests the permission, on a key that must not exist."""
        if self.probe is None:
            return self.on(key.encode())
        values: dict[Argument, Argument] = {KEY: key, OWN_NAME: own_name}
        arguments = [values.get(each, each) for each in self.probe]
        return pack(*self._words, *arguments)

    @property
    def acl_name(self) -> str:
        """The name in an ACL: `llen`, `xinfo|stream`."""
        return "|".join(self._words).lower()


PING: Final = Command("PING", probe=(), cost="nothing; the round trip is still measured")
INFO: Final = Command(
    "INFO", probe=(), reply=bytes, cost="all bullmq_redis_*, and which connections share a database"
)
DBSIZE: Final = Command("DBSIZE", probe=(), cost="bullmq_redis_keys")
TIME: Final = Command(
    "TIME", probe=(), reply=list, cost="ages by the server's clock; the exporter's clock is used"
)
CLIENT_SETNAME: Final = Command(
    "CLIENT SETNAME", reply=bytes, probe=(OWN_NAME,), cost="the exporter's name in CLIENT LIST"
)
CLIENT_ID: Final = Command(
    "CLIENT ID", probe=(), cost="the client id in the log and on the health page"
)
CLUSTER_SLOTS: Final = Command(
    "CLUSTER SLOTS", probe=(), reply=list, cost="everything", cluster=True
)
ASKING: Final = Command(
    "ASKING", probe=(), reply=bytes, cost="queues whose slot is migrating", cluster=True
)

CONNECTION_COMMANDS: Final = (
    PING,
    INFO,
    DBSIZE,
    TIME,
    CLIENT_SETNAME,
    CLIENT_ID,
    CLUSTER_SLOTS,
    ASKING,
)
"""Commands of every connection, besides AUTH and SELECT."""

"""Commands that the exporter sends, declared where they are used.

What an ACL must allow, what a refusal costs and what the fuzzers answer is derived from these
declarations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from exporter.connection.client import Argument, pack

KEY: Final = "{key}"
"""Stands for a key in `Command.probe`."""
OWN_NAME: Final = "{name}"
"""Stands there for the name that the connection has in CLIENT LIST."""

_CONTAINERS: Final = frozenset({"CLIENT", "CLUSTER", "XINFO"})
"""Commands of which an ACL names the subcommand."""


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """A command; `on` packs it for the wire."""

    name: str
    """In upper case, with its subcommand: `LLEN`, `XINFO STREAM`."""
    suffix: str = ""
    """What is appended to each key that `on` is given."""
    arguments: tuple[Argument, ...] = ()
    """What follows the keys."""
    reply: type = int
    """The type of a reply that is neither nil nor an error."""
    cost: str = ""
    """What is missing where Redis refuses it."""
    probe: tuple[Argument, ...] | None = None
    """All arguments of a harmless call that tests the permission, with `KEY` and `OWN_NAME` as
    placeholders. None: one key and `arguments`."""
    cluster: bool = False
    """Whether it is sent to clusters only."""

    def on(self, *keys: bytes, more: Iterable[Argument] = ()) -> bytes:
        """The packed command on these keys, each with the suffix; `more` arguments come last."""
        suffix = self.suffix.encode()
        return pack(*self.name.split(), *[key + suffix for key in keys], *self.arguments, *more)

    def probe_on(self, key: str, own_name: str) -> bytes:
        """The packed call that tests the permission, on a key that does not exist."""
        if self.probe is None:
            return self.on(key.encode())
        values: dict[Argument, Argument] = {KEY: key, OWN_NAME: own_name}
        arguments = [values.get(each, each) for each in self.probe]
        return pack(*self.name.split(), *arguments)

    @property
    def acl_name(self) -> str:
        """As an ACL names it: `llen`, `xinfo|stream`."""
        name, *subcommand = self.name.split()
        return "|".join([name, *subcommand] if name in _CONTAINERS else [name]).lower()


PING: Final = Command("PING", probe=(), cost="nothing; the round trip is measured all the same")
INFO: Final = Command(
    "INFO", probe=(), reply=bytes, cost="all bullmq_redis_*, and which connections share a database"
)
DBSIZE: Final = Command("DBSIZE", probe=(), cost="bullmq_redis_keys")
TIME: Final = Command(
    "TIME", probe=(), reply=list, cost="ages by the server's clock; the exporter's own is used"
)
CLIENT_SETNAME: Final = Command(
    "CLIENT SETNAME", reply=bytes, probe=(OWN_NAME,), cost="its name in CLIENT LIST"
)
CLIENT_ID: Final = Command(
    "CLIENT ID", probe=(), cost="the client id in the log and on the health page"
)
CLUSTER_SLOTS: Final = Command(
    "CLUSTER SLOTS", probe=(), reply=list, cost="everything", cluster=True
)
ASKING: Final = Command(
    "ASKING", probe=(), reply=bytes, cost="queues whose slot is being moved", cluster=True
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
"""What every connection sends, besides AUTH and SELECT."""

"""Which of the commands that the exporter sends are refused, and what that costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from exporter.check.model import Outcome, Step
from exporter.collectors import READING_COMMANDS, SYNC_COMMANDS
from exporter.connection import Client, Command, ReplyError


@dataclass(frozen=True, slots=True)
class Permission:
    """A command as an ACL names it, with all uses that the exporter makes of it."""

    name: str
    uses: tuple[Command, ...]

    @property
    def cost(self) -> str:
        """What is missing where it is refused."""
        return ", ".join(dict.fromkeys(use.cost for use in self.uses if use.cost))

    @property
    def cluster(self) -> bool:
        """Whether it is sent to clusters only."""
        return all(use.cluster for use in self.uses)


def _permissions(commands: Iterable[Command]) -> tuple[Permission, ...]:
    uses: dict[str, list[Command]] = {}
    for command in commands:
        uses.setdefault(command.acl_name, []).append(command)
    return tuple(Permission(name, tuple(found)) for name, found in uses.items())


PERMISSIONS: Final = _permissions(READING_COMMANDS)
"""What reading needs, besides AUTH and SELECT."""


def acl_commands(*, sync: bool) -> list[str]:
    """The commands of an ACL for the exporter's user, as `+ping`; `sync`: with the sync test's."""
    names = ["auth", "select", *(permission.name for permission in PERMISSIONS)]
    if sync:
        names += [command.acl_name for command in SYNC_COMMANDS]
    return [f"+{name}" for name in dict.fromkeys(names)]


def permissions_step(client: Client, prefixes: tuple[str, ...]) -> Step:
    """Sends every command once, on keys that do not exist. Raises `RedisFailure`."""
    needed = [each for each in PERMISSIONS if client.settings.cluster or not each.cluster]
    refused: dict[str, str] = {}
    for node in client.nodes:
        for prefix in prefixes:
            refused |= {each.name: each.cost for each in _refused(node, needed, prefix)}
    if not refused:
        return Step("permissions", Outcome.OK, f"all {len(needed)} commands are allowed")
    notes = tuple(f"{name} is refused; missing: {cost}" for name, cost in refused.items())
    detail = f"{len(refused)} of {len(needed)} commands are refused"
    return Step("permissions", Outcome.WARNING, detail, {"refused": refused}, notes)


def _refused(node: Client, needed: Sequence[Permission], prefix: str) -> list[Permission]:
    """A node checks permissions first, and only then whether a key is its own."""
    key = f"{prefix}:bullmq-exporter-check:none"
    packed = b"".join(permission.uses[0].probe_on(key, node.name) for permission in needed)
    replies = node.batch(packed, len(needed)).replies
    answered = zip(needed, replies, strict=True)
    return [each for each, r in answered if isinstance(r, ReplyError) and r.not_available]

"""What to do about a failure to reach Redis or to log in. Pure."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

from exporter.config.models import Connection
from exporter.connection import RedisFailure

_ENCODED: Final = "percent-encode special characters of a URL (/ as %2F, # as %23, @ as %40)"


def login_remedy(settings: Connection, failure: RedisFailure) -> str:
    """The remedy for what Redis answers to a login; empty if that says enough, or nothing."""
    text = failure.text
    for part, remedy in _BY_REPLY.items():
        if part in text:
            return remedy.format(address=settings.url.address, db=settings.url.db)
    if "NOAUTH" in text:
        return _no_password(settings)
    if any(part in text for part in _WRONG_PASSWORD):
        return _wrong_password(settings)
    return ""


_BY_REPLY: Final = {
    "without any password configured": "this Redis has no password; remove it from the URL",
    "no password is set": "this Redis has no password; remove it from the URL",
    # since Redis 6, and before
    "DB index is out of range": (
        "this Redis has no database {db}: its setting `databases` allows fewer; BullMQ uses 0 "
        "unless `db` is set"
    ),
    "invalid DB index": "this Redis has no database {db}; BullMQ uses 0 unless `db` is set",
    "protected mode": "set a password in Redis, or let it listen only where it is needed",
    "max number of clients": "raise maxclients of Redis, or find who connects with CLIENT LIST",
    "loading the dataset": "try again when Redis has read its data",
    "busy running a script": "a script blocks Redis; SCRIPT KILL ends it if it has not written",
    "MASTER is down": "this replica has lost its master; connect to the master",
    "CLUSTERDOWN": "some slots are not served; see CLUSTER INFO",
    "no permissions": "allow this command in the user's ACL, or select database 0 in the URL",
}
"""By a part of Redis' reply."""
_WRONG_PASSWORD: Final = ("WRONGPASS", "invalid username-password", "invalid password")


def user_without_password(settings: Connection) -> str:
    """What to do about a user that is not used, as redis-py and ioredis do; empty if it is."""
    if settings.user is None or _has_password(settings):
        return ""
    # the user is not shown: it may be the password
    return (
        "there is a user but no password, so neither is used; a password alone follows a colon: "
        f"{settings.url.scheme}://:PASSWORD@{settings.url.address}"
    )


def _has_password(settings: Connection) -> bool:
    return settings.url.password is not None or settings.password_file is not None


def _no_password(settings: Connection) -> str:
    without = user_without_password(settings)
    where = f"{settings.url.scheme}://:PASSWORD@{settings.url.address}"
    return without or f"this Redis requires a password: {where}, or password_file"


def _wrong_password(settings: Connection) -> str:
    if settings.user is None:
        return (
            "the password of the default user is another one; if it is that of an ACL user, put "
            f"the user before the colon; {_ENCODED}"
        )
    return f"the user does not exist, is off, or has another password; {_ENCODED}"


def resolve_remedy(error: OSError) -> str:
    """The remedy for a name that cannot be resolved."""
    if getattr(error, "errno", None) == socket.EAI_AGAIN:
        return "the name server does not answer; try again, or check its address"
    return (
        "check the host name; names of services in Docker, Kubernetes or a private network are "
        "only known inside of it"
    )


def connect_remedy(settings: Connection, error: OSError, addresses: list[str]) -> str:
    """The remedy for a TCP connection that cannot be opened to these addresses."""
    if isinstance(error, TimeoutError):
        return (
            "nothing answers: check the address, and that no firewall or security group drops the "
            "packets"
        )
    if not isinstance(error, ConnectionRefusedError):
        return "check the network, the address and the firewall"
    remedy = f"nothing listens there: check the port {settings.url.port}, and that Redis is running"
    if addresses and all(ipaddress.ip_address(each).is_loopback for each in addresses):
        host = settings.url.host
        remedy += f"; in a container, {host} is the container itself"
    return remedy


def sentinel_remedy(failures: Sequence[str]) -> str:
    """The remedy if no sentinel reports a master; empty if the failures say enough."""
    text = "; ".join(failures)
    if "unknown command" in text:
        return "this is a Redis, not a sentinel; sentinels usually listen on port 26379"
    if "NOAUTH" in text or "Authentication required" in text:
        return "the sentinels require a password; set sentinel.password_file"
    if "Connection refused" in text:
        return "nothing listens there; sentinels usually listen on port 26379"
    return ""

"""Faults of the exporter's connection and of its Redis; each lasts some seconds."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.support.busy_script import busy_script
from tests.support.proxy import Proxy
from tests.support.servers import Server

Fault = Callable[[Server, Proxy, float], None]

_MIDDLE_OF_A_REPLY = 700


def hung(_: Server, proxy: Proxy, seconds: float) -> None:
    """Nothing reaches Redis."""
    proxy.hang = True
    time.sleep(seconds)
    proxy.hang = False
    proxy.cut()


def without_replies(_: Server, proxy: Proxy, seconds: float) -> None:
    """The replies of Redis are lost."""
    proxy.drop = True
    time.sleep(seconds)
    proxy.drop = False
    proxy.cut()


def cut_in_replies(_: Server, proxy: Proxy, seconds: float) -> None:
    """Every connection is cut in the middle of a reply."""
    proxy.cut_after = _MIDDLE_OF_A_REPLY
    proxy.cut()
    time.sleep(seconds)
    proxy.cut_after = None


def slow(_: Server, proxy: Proxy, seconds: float) -> None:
    """Every reply is delayed by 200 ms."""
    proxy.delay = 0.2
    time.sleep(seconds)
    proxy.delay = 0.0


def cut_off(_: Server, proxy: Proxy, seconds: float) -> None:
    """All connections are cut repeatedly."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        proxy.cut()
        time.sleep(0.3)


def paused(server: Server, _: Proxy, seconds: float) -> None:
    """`CLIENT PAUSE`: the commands of all clients wait."""
    client = server.client()
    client.client_pause(int(seconds * 1000))
    client.close()
    time.sleep(seconds)


def busy(server: Server, _: Proxy, seconds: float) -> None:
    """Another client's script runs; Redis replies BUSY to all others."""
    with busy_script(server, threshold_ms=100):
        time.sleep(seconds)


def frozen(server: Server, _: Proxy, seconds: float) -> None:
    """The server's process is stopped."""
    server.signal(signal.SIGSTOP)
    time.sleep(seconds)
    server.signal(signal.SIGCONT)


def killed(server: Server, proxy: Proxy, seconds: float) -> None:
    """SIGKILL, then a new process with the same data."""
    server.kill()
    time.sleep(seconds)
    server.start()
    proxy.cut()


FAULTS: tuple[Fault, ...] = (
    *(hung, without_replies, cut_in_replies, slow, cut_off),
    *(paused, busy, frozen, killed),
)

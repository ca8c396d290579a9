"""What happens to the exporter's connection and to its Redis, each for some seconds."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.support.busy_script import busy_script
from tests.support.proxy import Proxy
from tests.support.servers import Server

Fault = Callable[[Server, Proxy, float], None]

_MIDDLE_OF_AN_ANSWER = 700


def hung(_: Server, proxy: Proxy, seconds: float) -> None:
    """Nothing gets through to Redis any more."""
    proxy.hang = True
    time.sleep(seconds)
    proxy.hang = False
    proxy.cut()


def without_answers(_: Server, proxy: Proxy, seconds: float) -> None:
    """Redis' answers are lost."""
    proxy.drop = True
    time.sleep(seconds)
    proxy.drop = False
    proxy.cut()


def cut_in_answers(_: Server, proxy: Proxy, seconds: float) -> None:
    """Every connection ends in the middle of an answer."""
    proxy.cut_after = _MIDDLE_OF_AN_ANSWER
    proxy.cut()
    time.sleep(seconds)
    proxy.cut_after = None


def slow(_: Server, proxy: Proxy, seconds: float) -> None:
    """200 ms to every answer."""
    proxy.delay = 0.2
    time.sleep(seconds)
    proxy.delay = 0.0


def cut_off(_: Server, proxy: Proxy, seconds: float) -> None:
    """All connections end, again and again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        proxy.cut()
        time.sleep(0.3)


def paused(server: Server, _: Proxy, seconds: float) -> None:
    """`CLIENT PAUSE`: commands of all clients wait, the one that would end it too."""
    client = server.client()
    client.client_pause(int(seconds * 1000))
    client.close()
    time.sleep(seconds)


def busy(server: Server, _: Proxy, seconds: float) -> None:
    """Somebody else's script: others are answered BUSY."""
    with busy_script(server, threshold_ms=100):
        time.sleep(seconds)


def frozen(server: Server, _: Proxy, seconds: float) -> None:
    """The server's process stands still."""
    server.signal(signal.SIGSTOP)
    time.sleep(seconds)
    server.signal(signal.SIGCONT)


def killed(server: Server, proxy: Proxy, seconds: float) -> None:
    """SIGKILL, and a new process with the same data."""
    server.kill()
    time.sleep(seconds)
    server.start()
    proxy.cut()


FAULTS: tuple[Fault, ...] = (
    *(hung, without_answers, cut_in_answers, slow, cut_off),
    *(paused, busy, frozen, killed),
)

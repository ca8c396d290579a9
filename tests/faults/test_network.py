"""Faults between the exporter and Redis; a real worker continues on Redis."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon
from tests.support.fault_harness import Harness, harness
from tests.support.live import RealWork
from tests.support.proxy import Proxy
from tests.support.servers import redis_server

Proxied = tuple[Harness, Proxy]


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, idle: Daemon) -> Iterator[Proxied]:
    with redis_server() as server:
        proxy = Proxy(server)
        folder = tmp_path_factory.mktemp("network")
        with harness(folder, idle, server, RealWork(server), url=proxy.url) as found:
            yield found, proxy
        proxy.close()


def test_refused(proxied: Proxied) -> None:
    found, proxy = proxied
    with found.fault("refused", "connection") as fault:
        proxy.refuse()
        fault.wait_until_reported("connection")
        fault.wait_until_stale()
        proxy.accept_again()


def with_proxy_fault(proxied: Proxied, name: str, error: str, **attributes: object) -> None:
    """Set these attributes of the proxy until the samples are withdrawn."""
    found, proxy = proxied
    normal = {setting: getattr(proxy, setting) for setting in attributes}
    with found.fault(name, error) as fault:
        vars(proxy).update(attributes)
        fault.wait_until_reported(error)
        fault.wait_until_stale()
        vars(proxy).update(normal)


def test_hang_after_accept(proxied: Proxied) -> None:
    with_proxy_fault(proxied, "hang after accept", "timeout", hang=True)


def test_hang_in_the_middle_of_a_reply(proxied: Proxied) -> None:
    # within the reply to INFO
    with_proxy_fault(proxied, "hang mid-reply", "timeout", hang_after=3000)


def test_cut_in_the_middle_of_a_reply(proxied: Proxied) -> None:
    with_proxy_fault(proxied, "cut mid-reply", "connection", cut_after=3000)


def test_one_hundred_bytes_a_second(proxied: Proxied) -> None:
    with_proxy_fault(proxied, "100 B/s", "timeout", bytes_per_second=100)


def test_random_bytes(proxied: Proxied) -> None:
    def corrupt(data: bytes) -> bytes:
        return b"\0" + os.urandom(len(data))

    with_proxy_fault(proxied, "garbage", "protocol", corrupt=corrupt)


def test_replies_to_other_commands(proxied: Proxied) -> None:
    with_proxy_fault(
        proxied, "replies to other commands", "protocol", corrupt=lambda _: b":1\r\n" * 200
    )


def test_a_list_of_a_billion_elements(proxied: Proxied) -> None:
    with_proxy_fault(
        proxied, "a billion elements", "protocol", corrupt=lambda _: b"*1000000000\r\n"
    )


def test_reset(proxied: Proxied) -> None:
    with_proxy_fault(proxied, "RST", "connection", reset=True)


def test_every_job_was_counted_once(proxied: Proxied) -> None:
    proxied[0].end()

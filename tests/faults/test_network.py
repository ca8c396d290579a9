"""Faults between the exporter and Redis; a real worker goes on behind them."""

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
        fault.is_seen("connection")
        fault.outlasts_the_samples()
        proxy.let_in()


def in_trouble(proxied: Proxied, name: str, error: str, **trouble: object) -> None:
    """A fault that is in how the proxy is set, until the samples are withdrawn."""
    found, proxy = proxied
    well = {setting: getattr(proxy, setting) for setting in trouble}
    with found.fault(name, error) as fault:
        vars(proxy).update(trouble)
        fault.is_seen(error)
        fault.outlasts_the_samples()
        vars(proxy).update(well)


def test_hang_after_accept(proxied: Proxied) -> None:
    in_trouble(proxied, "hang after accept", "timeout", hang=True)


def test_hang_in_the_middle_of_a_reply(proxied: Proxied) -> None:
    # within INFO's
    in_trouble(proxied, "hang mid-reply", "timeout", hang_after=3000)


def test_cut_in_the_middle_of_a_reply(proxied: Proxied) -> None:
    in_trouble(proxied, "cut mid-reply", "connection", cut_after=3000)


def test_one_hundred_bytes_a_second(proxied: Proxied) -> None:
    in_trouble(proxied, "100 B/s", "timeout", bytes_per_second=100)


def test_garbage(proxied: Proxied) -> None:
    def corrupt(data: bytes) -> bytes:
        return b"\0" + os.urandom(len(data))

    in_trouble(proxied, "garbage", "protocol", corrupt=corrupt)


def test_answers_to_other_questions(proxied: Proxied) -> None:
    in_trouble(proxied, "answers of another kind", "protocol", corrupt=lambda _: b":1\r\n" * 200)


def test_a_list_of_a_billion(proxied: Proxied) -> None:
    in_trouble(proxied, "a billion elements", "protocol", corrupt=lambda _: b"*1000000000\r\n")


def test_reset(proxied: Proxied) -> None:
    in_trouble(proxied, "RST", "connection", reset=True)


def test_every_job_was_counted_once(proxied: Proxied) -> None:
    proxied[0].end()

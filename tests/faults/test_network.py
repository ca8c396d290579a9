"""Faults between the exporter and Redis; a real worker goes on behind them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.live import RealWork
from tests.support.proxy import Proxy
from tests.support.servers import redis_server
from tests.support.trial import Scene, scene


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scene, Proxy]]:
    with redis_server() as server:
        proxy = Proxy(server)
        with scene(
            tmp_path_factory.mktemp("network"), server, RealWork(server), url=proxy.url
        ) as found:
            yield found, proxy
        proxy.close()


def test_refused(proxied: tuple[Scene, Proxy]) -> None:
    found, proxy = proxied
    with found.fault("refused", "connection") as fault:
        proxy.refuse()
        fault.is_seen("connection")
        fault.outlasts_the_samples()
        proxy.let_in()


def test_hang_after_accept(proxied: tuple[Scene, Proxy]) -> None:
    found, proxy = proxied
    with found.fault("hang after accept", "timeout") as fault:
        proxy.hang = True
        fault.is_seen("timeout")
        fault.outlasts_the_samples()
        proxy.hang = False


def test_hang_in_the_middle_of_a_reply(proxied: tuple[Scene, Proxy]) -> None:
    found, proxy = proxied
    with found.fault("hang mid-reply", "timeout") as fault:
        proxy.hang_after = 3000  # within INFO's
        fault.is_seen("timeout")
        fault.outlasts_the_samples()
        proxy.hang_after = None


def test_cut_in_the_middle_of_a_reply(proxied: tuple[Scene, Proxy]) -> None:
    found, proxy = proxied
    with found.fault("cut mid-reply", "connection") as fault:
        proxy.cut_after = 3000
        fault.is_seen("connection")
        fault.outlasts_the_samples()
        proxy.cut_after = None


def test_one_kilobyte_a_second(proxied: tuple[Scene, Proxy]) -> None:
    found, proxy = proxied
    with found.fault("1 kB/s", "timeout") as fault:
        proxy.bytes_per_second = 1000
        fault.is_seen("timeout")
        fault.outlasts_the_samples()
        proxy.bytes_per_second = None


def test_garbage(proxied: tuple[Scene, Proxy]) -> None:
    found, proxy = proxied
    with found.fault("garbage", "protocol") as fault:
        proxy.corrupt = lambda data: b"\0" + os.urandom(len(data))
        fault.is_seen("protocol")
        fault.outlasts_the_samples()
        proxy.corrupt = None


def test_answers_to_other_questions(proxied: tuple[Scene, Proxy]) -> None:
    found, proxy = proxied
    with found.fault("answers of another kind", "protocol") as fault:
        proxy.corrupt = lambda _: b":1\r\n" * 200
        fault.is_seen("protocol")
        fault.outlasts_the_samples()
        proxy.corrupt = None


def test_reset(proxied: tuple[Scene, Proxy]) -> None:
    found, proxy = proxied
    with found.fault("RST", "connection") as fault:
        proxy.reset = True
        fault.is_seen("connection")
        fault.outlasts_the_samples()
        proxy.reset = False


def test_every_job_was_counted_once(proxied: tuple[Scene, Proxy]) -> None:
    proxied[0].end()

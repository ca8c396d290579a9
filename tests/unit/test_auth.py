"""Basic authentication: who is let in, at what cost, and what is remembered."""

from __future__ import annotations

import asyncio
import base64

import bcrypt
import pytest

from exporter.config.secret import Secret
from exporter.web import Users
from exporter.web.auth import parse_basic
from tests.support.users import hashed


def secret(password: str, cost: int = 4) -> Secret:
    return Secret(hashed(password, cost))


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class Counted:
    """bcrypt, with the hashes that were compared."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[bytes] = []
        real = bcrypt.checkpw

        def check(password: bytes, against: bytes) -> bool:
            self.asked.append(against)
            return real(password, against)

        monkeypatch.setattr(bcrypt, "checkpw", check)


@pytest.mark.parametrize(
    ("header", "parsed"),
    [
        ("Basic YTpi", ("a", b"b")),
        ("basic  YTpi", ("a", b"b")),
        ("Basic YTpiOmM=", ("a", b"b:c")),
        ("Basic Og==", ("", b"")),
        ("Basic YQ==", None),
        ("Basic !", None),
        ("Basic é", None),
        ("Basic /w==", None),
        ("Basic /zph", None),
        ("Bearer YTpi", None),
        ("Basic", None),
        ("", None),
    ],
)
def test_headers(header: str, parsed: tuple[str, bytes] | None) -> None:
    assert parse_basic(header) == parsed


def test_without_users_everybody_may_look() -> None:
    assert Users({}).open
    assert not Users({"alice": secret("x")}).open


def test_right_wrong_and_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    alice = secret("right")
    users = Users({"alice": alice})

    async def ask() -> list[bool]:
        asked = [("alice", "right"), ("alice", "wrong"), ("bob", "right"), ("", "")]
        return [await users.authenticate(basic(*each)) for each in asked]

    assert asyncio.run(ask()) == [True, False, False, False]
    assert counted.asked == [alice.reveal().encode()] * 4, "an unknown user costs as much"


def test_an_unknown_user_costs_as_much_as_the_costliest(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    costly = secret("x", 5)
    users = Users({"a": secret("x"), "b": costly, "c": secret("x")})
    assert not asyncio.run(users.authenticate(basic("nobody", "x")))
    assert counted.asked == [costly.reveal().encode()]


def test_a_right_password_is_hashed_once_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    users = Users({"alice": secret("right")})

    async def ask() -> None:
        for _ in range(3):
            assert await users.authenticate(basic("alice", "right"))

    asyncio.run(ask())
    assert len(counted.asked) == 1
    assert b"right" not in b"".join(users._users.verified)


def test_a_right_password_is_no_other_users(monkeypatch: pytest.MonkeyPatch) -> None:
    users = Users({"alice": secret("right"), "bob": secret("other")})

    async def ask() -> tuple[bool, bool]:
        return await users.authenticate(basic("alice", "right")), await users.authenticate(
            basic("bob", "right")
        )

    assert asyncio.run(ask()) == (True, False)


def test_of_a_long_password_bcrypt_reads_72_bytes() -> None:
    users = Users({"alice": secret("x" * 72)})

    async def ask() -> tuple[bool, bool]:
        return (
            await users.authenticate(basic("alice", "x" * 80)),
            await users.authenticate(basic("alice", "x" * 71)),
        )

    assert asyncio.run(ask()) == (True, False)
    assert len(users._users.verified) == 1

"""Basic authentication: which credentials are accepted, their cost, and what is cached."""

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


class CountedBcrypt:
    """bcrypt that records the cost of every computed hash."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.costs: list[int] = []
        check, compute = bcrypt.checkpw, bcrypt.hashpw

        def checkpw(password: bytes, hashed: bytes) -> bool:
            self.costs.append(int(hashed[4:6]))
            return check(password, hashed)

        def hashpw(password: bytes, salt: bytes) -> bytes:
            self.costs.append(int(salt[4:6]))
            return compute(password, salt)

        monkeypatch.setattr(bcrypt, "checkpw", checkpw)
        monkeypatch.setattr(bcrypt, "hashpw", hashpw)

    def work(self) -> int:
        """Rounds computed since the last call; a hash of cost c takes 2^c."""
        rounds = sum(1 << cost for cost in self.costs)
        self.costs.clear()
        return rounds


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
def test_parse_basic(header: str, parsed: tuple[str, bytes] | None) -> None:
    assert parse_basic(header) == parsed


def test_without_users_access_is_open() -> None:
    assert Users({}).open
    assert not Users({"alice": secret("x")}).open


def test_only_the_right_password_of_a_known_user_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = Users({"alice": secret("right")})
    counted = CountedBcrypt(monkeypatch)

    async def ask() -> list[bool]:
        asked = [("alice", "right"), ("alice", "wrong"), ("bob", "right"), ("", "")]
        return [await users.authenticate(basic(*each)) for each in asked]

    assert asyncio.run(ask()) == [True, False, False, False]
    assert counted.costs == [4] * 4, "an unknown user costs as much"


@pytest.mark.parametrize("costs", [(4,), (4, 5), (4, 8), (6, 7, 9)])
def test_a_rejection_costs_the_same_for_every_user_name(
    monkeypatch: pytest.MonkeyPatch, costs: tuple[int, ...]
) -> None:
    """Known or unknown, whatever the cost of the user's own hash."""
    users = Users({f"user{cost}": secret("right", cost) for cost in costs})
    counted = CountedBcrypt(monkeypatch)
    work = set()
    for name in [*(f"user{cost}" for cost in costs), "unknown", ""]:
        assert not asyncio.run(users.authenticate(basic(name, "wrong")))
        work.add(counted.work())
    for cost in costs:
        assert asyncio.run(users.authenticate(basic(f"user{cost}", "right")))
        work.add(counted.work())
    assert work == {1 << max(costs)}


def test_an_accepted_password_is_hashed_once_and_not_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = Users({"alice": secret("right")})
    counted = CountedBcrypt(monkeypatch)

    async def ask() -> None:
        for _ in range(3):
            assert await users.authenticate(basic("alice", "right"))

    asyncio.run(ask())
    assert counted.costs == [4]
    assert b"right" not in b"".join(users._users.verified)


def test_an_accepted_password_is_valid_only_for_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    users = Users({"alice": secret("right"), "bob": secret("other")})

    async def ask() -> tuple[bool, bool]:
        return await users.authenticate(basic("alice", "right")), await users.authenticate(
            basic("bob", "right")
        )

    assert asyncio.run(ask()) == (True, False)


def test_only_the_first_72_bytes_of_a_password_count() -> None:
    users = Users({"alice": secret("x" * 72)})

    async def ask() -> tuple[bool, bool]:
        return (
            await users.authenticate(basic("alice", "x" * 80)),
            await users.authenticate(basic("alice", "x" * 71)),
        )

    assert asyncio.run(ask()) == (True, False)
    assert len(users._users.verified) == 1

"""Which addresses count as one client."""

from __future__ import annotations

import pytest

from exporter.web.limits import peer_of


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("no address", "no address", True),
    ],
)
def test_addresses_of_one_client(one: str, other: str, *, same: bool) -> None:
    assert (peer_of(one) == peer_of(other)) is same

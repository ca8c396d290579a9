"""Users of the exporter's own pages."""

from __future__ import annotations

import bcrypt


def hashed(password: str, cost: int = 4) -> str:
    """A bcrypt hash, cheap since it is for tests."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()

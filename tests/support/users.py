"""Passwords of users of the exporter's HTTP server."""

from __future__ import annotations

import bcrypt


def hashed(password: str, cost: int = 4) -> str:
    """A bcrypt hash with a low cost."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()

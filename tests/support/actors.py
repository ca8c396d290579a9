"""Parts of live scenarios: producers, workers and administrators of Node's BullMQ."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

Act = Callable[..., "subprocess.Popen[str]"]
"""Starts a part: its role, and what tests/e2e/node/actor.mjs takes."""

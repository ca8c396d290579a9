"""`bullmq-exporter top`: the queues in full screen on a terminal.

A thread looks at what the pollers publish (`rows.py`), keys change what the user wants to see
(`session.py`), and the screens are drawn from both. All text from Redis passes `text.safe`, and
markup is off, so names cannot change the screen.
"""

from exporter.top.run import run_top
from exporter.top.session import Session

__all__ = ["Session", "run_top"]

"""An endless script of another client, during which Redis replies BUSY."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.servers import Server


@contextlib.contextmanager
def busy_script(server: Server, *, threshold_ms: int) -> Iterator[None]:
    """Run an endless script; Redis replies BUSY after `threshold_ms`. Killed at the end."""
    admin = server.client()
    admin.config_set("busy-reply-threshold", threshold_ms)
    script = threading.Thread(target=_endless, args=(server,))
    script.start()
    yield
    admin.script_kill()
    script.join()
    admin.close()


def _endless(server: Server) -> None:
    # no retry: it would start the script again after it was killed
    client = server.client(socket_timeout=60, retry=Retry(NoBackoff(), 0))
    with contextlib.suppress(redis.ResponseError):
        client.eval("while true do end", 0)
    client.close()

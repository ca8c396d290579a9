"""Railway's start command with REDIS_URL and PORT, reachable over IPv4 and IPv6."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from pathlib import Path

from tests.support.daemon import environment, started
from tests.support.image import ROOT
from tests.support.servers import Server, free_port

DEPLOY = json.loads((ROOT / "deploy" / "railway.json").read_text())["deploy"]


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


def test_the_start_command_listens_on_port_over_both_address_families(
    server: Server, tmp_path: Path
) -> None:
    port = free_port()
    # Node clients need ?family=0 there, so the variable may contain it
    env = environment({"REDIS_URL": f"{server.url}?family=0", "PORT": str(port)})
    env["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # the exec form: words, no shell except the one that they name
    words = shlex.split(DEPLOY["startCommand"])
    with started(words, port, tmp_path, env) as running:
        assert running.get(DEPLOY["healthcheckPath"]).status == 200
        assert answers("::1", port) or not socket.has_dualstack_ipv6()
        assert running.stop() == 0

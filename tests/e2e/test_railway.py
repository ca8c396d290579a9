"""Railway's start command with REDIS_URL and PORT, reached over both address families."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.daemon import Daemon, environment
from tests.support.image import ROOT
from tests.support.servers import Server, free_port, wait_for

DEPLOY = json.loads((ROOT / "deploy" / "railway.json").read_text())["deploy"]


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


def test_the_start_command_listens_where_railway_asks(server: Server, tmp_path: Path) -> None:
    port = free_port()
    # Node's clients need ?family=0 there, so it may be in the variable
    env = environment({"REDIS_URL": f"{server.url}?family=0", "PORT": str(port)})
    env["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    log = tmp_path / "log"
    with log.open("w") as out:
        # the exec form: words, no shell but the one that they name
        words = shlex.split(DEPLOY["startCommand"])
        process = subprocess.Popen(words, env=env, stderr=out, text=True)
    try:
        wait_for(lambda: answers("127.0.0.1", port), 15, str(log))
        running = Daemon(process, port, log)
        wait_for(lambda: running.get(DEPLOY["healthcheckPath"]).status == 200, 10, str(log))
        assert answers("::1", port) or not socket.has_dualstack_ipv6()
        assert running.stop() == 0
    finally:
        process.kill()
        process.wait()

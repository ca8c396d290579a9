"""`run --web.config.file`: the file that Prometheus' exporters take, and one of them reloaded."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import bcrypt

from tests.support.daemon import environment, started
from tests.support.servers import Server, free_port
from tests.support.tls import client_context, renew, write_certificates
from tests.support.waiting import wait_for


def users(name: str, password: str) -> str:
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    return f"basic_auth_users: {{{name}: {hashed}}}\n"


def credentials(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_tls_and_users_are_those_of_the_file(server: Server, tmp_path: Path) -> None:
    ca = write_certificates(tmp_path)
    renew(tmp_path, ca)
    tls = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
    file = tmp_path / "web.yml"
    file.write_text(tls + users("alice", "one"))
    port = free_port()
    words = [sys.executable, "-m", "exporter", "run", "--listen", f"127.0.0.1:{port}"]
    env = environment({"REDIS_URL": server.url, "BULLMQ_WEB_ENABLE_LIFECYCLE": "true"})
    command = [*words, "--web.config.file", str(file)]
    with started(command, port, tmp_path, env, client_context(ca)) as running:
        alice = credentials("alice", "one")
        assert running.get("/metrics").status == 401
        assert running.get("/metrics", authorization=alice).status == 200

        file.write_text(tls + users("bob", "two"))
        assert running.get("/-/reload", method="POST", authorization=alice).status == 200
        bob = credentials("bob", "two")
        wait_for(lambda: running.get("/metrics", authorization=bob).status == 200, "bob has access")
        assert running.get("/metrics", authorization=alice).status == 401

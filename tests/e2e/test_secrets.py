"""No secret is ever shown: in commands, pages, debug logs and error messages."""

from __future__ import annotations

import base64
import signal
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import command
from tests.support.daemon import daemon
from tests.support.servers import Server, free_port, valkey
from tests.support.users import hashed
from tests.support.waiting import wait_for
from tests.support.web import paths

PASSWORD = "s3cr3t/p@ss w:rd"
FILE_PASSWORD = "f1le-s3cr3t"
WEB_PASSWORD = "w3b-s3cr3t"
HASH, FILE_HASH = hashed(WEB_PASSWORD), hashed("other")
ENCODED = urllib.parse.quote(PASSWORD, safe="")
AUTHORIZATION = base64.b64encode(f"alice:{WEB_PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, ENCODED, FILE_PASSWORD, WEB_PASSWORD, HASH, FILE_HASH, AUTHORIZATION)

COMMANDS = (
    ("run", "--once"),
    ("config",),
    ("config", "--check"),
    ("check",),
    ("check", "--json"),
    ("queues", "--once"),
    ("queues", "--once", "--json"),
)
PAGES = paths()


def leaks(text: str) -> list[str]:
    # only the start of each, because messages may be cut
    return [secret for secret in SECRETS if secret[:10] in text]


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    """A server whose default user has a password, and a second user one from a file."""
    with valkey() as server:
        admin = server.client()
        admin.execute_command("ACL", "SETUSER", "filed", "on", "~*", "+@all", f">{FILE_PASSWORD}")
        admin.execute_command("ACL", "SETUSER", "default", "resetpass", f">{PASSWORD}")
        admin = server.client(password=PASSWORD)
        admin.set("bull:mail:id", 1)
        yield server


def write(
    folder: Path, port: int, *, file_password: str = FILE_PASSWORD, form: str = "text"
) -> Path:
    (folder / "password").write_text(file_password)
    (folder / "users").write_text(f"bob: {FILE_HASH}\n")
    (folder / "config.yaml").write_text(f"""
connections:
  url: {{url: "redis://:{ENCODED}@127.0.0.1:{port}/0"}}
  filed: {{url: "redis://127.0.0.1:{port}/0", username: filed, password_file: {folder}/password}}
poll: {{interval_seconds: 0.2, stale_after_seconds: 5}}
web:
  basic_auth_users: {{alice: {HASH}}}
  basic_auth_users_file: {folder}/users
  enable_lifecycle: true
log: {{level: debug, format: {form}}}
""")
    return folder / "config.yaml"


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("state", ["valid", "wrong password", "refused"])
def test_commands(locked: Server, tmp_path: Path, arguments: tuple[str, ...], state: str) -> None:
    port = free_port() if state == "refused" else locked.port
    # the right password plus a suffix: masking must not reveal the suffix
    wrong = {"file_password": f"{FILE_PASSWORD}-wrong"} if state == "wrong password" else {}
    file = write(tmp_path, port, **wrong)
    if wrong:
        file.write_text(file.read_text().replace(ENCODED, f"{ENCODED}-wrong"))
    done = command(*arguments, "--config", str(file))
    output = done.stdout + done.stderr
    assert output
    assert "Traceback" not in output
    assert leaks(output) == []
    if arguments[0] != "config":
        assert done.returncode == (0 if state == "valid" else 1), output


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_running_exporter(locked: Server, tmp_path: Path, form: str) -> None:
    file = write(tmp_path, locked.port, form=form)
    right = {"Authorization": f"Basic {AUTHORIZATION}"}
    with daemon(tmp_path, file.read_text()) as running:
        wait_for(lambda: running.get("/health/redis/sync", **right).status == 200, "a round")
        pages = [running.get(page, **right).text for page in PAGES]
        pages += [running.get(page).text for page in PAGES]
        locked.client(password=PASSWORD).client_kill_filter(user="filed")
        file.write_text(file.read_text().replace("127.0.0.1", "[127.0.0.1", 1))
        answer = running.get("/-/reload", method="POST", **right)
        assert answer.status == 500
        (tmp_path / "password").write_text(f"{FILE_PASSWORD}-wrong")
        wait_for(lambda: "reconnected" in running.log or "auth" in running.log, "a reconnect")
        pages += [running.get(page, **right).text for page in PAGES]
        assert running.stop(signal.SIGTERM) == 0
        assert leaks("\n".join([*pages, answer.text, running.log])) == []


BAD = {
    "unencoded": f"connections: {{a: {{url: 'redis://:{PASSWORD}@h/0'}}}}",
    "bad database": f"connections: {{a: {{url: 'redis://:{ENCODED}@h/x'}}}}",
    "bad port": f"connections: {{a: {{url: 'redis://:{ENCODED}@h:x/0'}}}}",
    "bad scheme": f"connections: {{a: {{url: 'http://:{ENCODED}@h/0'}}}}",
    "bracket": f"connections: {{a: {{url: 'redis://:{ENCODED}@[h/0'}}}}",
    "list": f"connections: {{a: {{url: ['redis://:{ENCODED}@h/0']}}}}",
    "key": f"connections: {{a: {{url: 'redis://h', password: '{PASSWORD}'}}}}",
    "plain": f"web: {{basic_auth_users: {{alice: {WEB_PASSWORD}}}}}",
    "half a hash": f"web: {{basic_auth_users: {{alice: '{HASH[:-1]}'}}}}",
    "hash in a list": f"web: {{basic_auth_users: {{alice: ['{HASH}']}}}}",
    "list of hashes": f"web: {{basic_auth_users: ['{HASH}']}}",
    "one hash": f"web: {{basic_auth_users: '{HASH}'}}",
    "hash as file": f"web: {{basic_auth_users_file: ['{HASH}']}}",
    "not yaml": f"connections: {{a: {{url: 'redis://:{ENCODED}@h/0'}}",
    "repeated": f"connections: {{a: {{url: 'redis://:{ENCODED}@h', url: x}}}}",
}


@pytest.mark.parametrize(
    ("name", "bad"),
    [("run", bad) for bad in BAD]
    + [(name, "bad database") for name in ("config", "check", "queues")],
)
def test_bad_configurations(tmp_path: Path, name: str, bad: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(BAD[bad])
    done = command(name, "--config", str(file))
    assert done.returncode == 2, done.stderr
    assert leaks(done.stdout + done.stderr) == []


@pytest.mark.parametrize(
    "text",
    [f"alice: {WEB_PASSWORD}", f"- {HASH}", f"alice: [{HASH}]", HASH],
    ids=["plain", "list", "list of a user", "hash alone"],
)
def test_bad_users_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "users").write_text(text)
    file = tmp_path / "config.yaml"
    file.write_text(f"web: {{basic_auth_users_file: {tmp_path}/users}}")
    done = command("run", "--config", str(file))
    assert done.returncode == 2
    assert leaks(done.stderr) == []


@pytest.mark.parametrize("variable", ["REDIS_URL", "REDIS_URL_API"])
def test_bad_variables(variable: str) -> None:
    done = command("run", "--once", **{variable: f"redis://:{ENCODED}@h/x"})
    assert done.returncode == 2
    assert leaks(done.stderr) == []

"""Certificates, users and other files: accepted contents and error messages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from exporter.config.errors import ConfigError
from exporter.config.files import exposed_files
from exporter.config.loader import load
from exporter.config.models import RedisTLS, WebTLS
from exporter.config.regular_file import MAX_FILE_BYTES, MAX_YAML_BYTES
from exporter.config.show import show
from exporter.connection.dial import tls_context
from exporter.web import Certificates
from tests.support.tls import renew

HASH = "$2y$10$abcdefghijklmnopqrstuuAbCdEfGhIjKlMnOpQrStUvWxYz01234"


def message(folder: Path, web: str) -> str:
    """The error message for this section `web`."""
    file = folder / "config.yaml"
    file.write_text(f"web: {{{web}}}\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert len(caught.value.problems) == 1, caught.value
    return str(caught.value.problems[0]).replace(str(folder), "FOLDER")


class TestUsers:
    def message(self, folder: Path, text: str, more: str = "") -> str:
        (folder / "users").write_text(text)
        return message(folder, f"basic_auth_users_file: {folder}/users{more}")

    def test_users_of_both_places_are_accepted_and_masked(self, tmp_path: Path) -> None:
        (tmp_path / "users").write_text(f"alice: {HASH}\n")
        file = tmp_path / "config.yaml"
        file.write_text(
            f"web: {{basic_auth_users_file: {tmp_path}/users, basic_auth_users: {{bob: {HASH}}}}}"
        )
        config = load(file, {})
        assert set(config.web.basic_auth_users) == {"alice", "bob"}
        assert config.web.basic_auth_users["alice"].reveal() == HASH
        assert HASH not in show(config) + repr(config)

    @pytest.mark.parametrize("text", ["", "# no users\n", "[alice]\n", "alice\n"])
    def test_an_empty_users_file_is_rejected(self, tmp_path: Path, text: str) -> None:
        assert self.message(tmp_path, text) == (
            "line 1, web.basic_auth_users_file: FOLDER/users: must have at least one line "
            "`name: hash`"
        )

    @pytest.mark.parametrize("value", ["hunter2", "12", "", "[x]", HASH.replace("$10$", "$99$")])
    def test_a_value_that_is_not_a_bcrypt_hash_is_rejected(
        self, tmp_path: Path, value: str
    ) -> None:
        text = self.message(tmp_path, f"bob: {HASH}\nalice: {value}\n")
        assert text == (
            "line 1, web.basic_auth_users_file: FOLDER/users: line 2, alice: must be a bcrypt "
            "hash; generate one with `htpasswd -nB`"
        )

    def test_a_repeated_user_is_rejected(self, tmp_path: Path) -> None:
        text = self.message(tmp_path, f"a: {HASH}\na: {HASH}\n")
        assert "line 2, a: repeated key, first on line 1" in text
        text = self.message(tmp_path, f"a: {HASH}\n", f", basic_auth_users: {{a: {HASH}}}")
        assert text.endswith(
            "FOLDER/users: user a is also in web.basic_auth_users; keep one of them"
        )

    def test_invalid_yaml_is_rejected(self, tmp_path: Path) -> None:
        assert "FOLDER/users: line 1, not valid YAML" in self.message(tmp_path, "a: [")


class TestCertificates:
    @pytest.fixture
    def tls(self, tmp_path: Path) -> str:
        renew(tmp_path, trustme.CA())
        return f"cert_file: {tmp_path}/server.pem, key_file: {tmp_path}/server.key"

    def test_a_mismatched_key_is_rejected(self, tmp_path: Path, tls: str) -> None:
        other = trustme.CA().issue_cert("other")
        other.private_key_pem.write_to_path(str(tmp_path / "server.key"))
        text = message(tmp_path, f"tls: {{{tls}}}")
        assert text == (
            "line 1, web.tls: cannot load FOLDER/server.pem and FOLDER/server.key (key values "
            "mismatch); they must hold a PEM certificate with its chain, and its unencrypted key"
        )

    def test_an_encrypted_key_is_rejected_without_a_prompt(self, tmp_path: Path, tls: str) -> None:
        file = tmp_path / "server.key"
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
        locked = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
        file.write_bytes(locked)
        assert "unencrypted key" in message(tmp_path, f"tls: {{{tls}}}")

    def test_an_invalid_client_ca_is_rejected(self, tmp_path: Path, tls: str) -> None:
        (tmp_path / "ca").write_text("nothing\n")
        text = message(tmp_path, f"tls: {{{tls}, client_ca_file: {tmp_path}/ca}}")
        assert text.startswith("line 1, web.tls: cannot load FOLDER/ca (")
        assert text.endswith("; it must hold PEM certificates")

    def test_no_certificates(self) -> None:
        assert Certificates(WebTLS()).context is None


class TestIrregularFiles:
    """Other files could block the exporter, or never end."""

    KEYS = (
        "web: {basic_auth_users_file: PATH}",
        "web: {tls: {cert_file: PATH, key_file: PATH}}",
        "connections: {a: {url: redis://h, password_file: PATH}}",
        "connections: {a: {url: rediss://h, tls: {ca_file: PATH}}}",
        "connections: {a: {url: rediss://h, tls: {cert_file: PATH, key_file: PATH}}}",
        "connections: {a: {url: redis://h, sentinel: "
        "{nodes: [h:1], master: m, password_file: PATH}}}",
    )

    @pytest.fixture
    def fifo(self, tmp_path: Path) -> Path:
        os.mkfifo(tmp_path / "fifo")
        return tmp_path / "fifo"

    @pytest.mark.parametrize("key", KEYS)
    def test_files_named_in_a_configuration_must_be_regular(self, fifo: Path, key: str) -> None:
        file = fifo.parent / "config.yaml"
        for path in (fifo, Path("/dev/zero")):
            file.write_text(key.replace("PATH", str(path)))
            with pytest.raises(ConfigError, match=rf"cannot read {path} \(not a regular file\)"):
                load(file, {})

    def test_a_configuration(self, fifo: Path) -> None:
        with pytest.raises(ConfigError, match=r"cannot be read \(not a regular file\)"):
            load(fifo, {})

    def test_a_password_file_must_be_regular_at_each_read(self, fifo: Path) -> None:
        connection = load(None, {"REDIS_URL": "redis://h"}).connections["default"]
        with pytest.raises(OSError, match="not a regular file"):
            connection.model_copy(update={"password_file": fifo}).read_password()

    def test_certificate_files_must_be_regular_at_each_read(self, fifo: Path) -> None:
        with pytest.raises(ValueError, match="not a regular file"):
            Certificates(WebTLS(cert_file=fifo, key_file=fifo))
        with pytest.raises(OSError, match="not a regular file"):
            tls_context(RedisTLS(ca_file=fifo))

    def test_large_files_are_rejected(self, tmp_path: Path) -> None:
        (tmp_path / "users").write_text("#" + " " * MAX_YAML_BYTES)
        assert "larger than 1 MB" in str(self._error(tmp_path / "users"))
        file = tmp_path / "config.yaml"
        (tmp_path / "users").write_text("#" + " " * MAX_FILE_BYTES)
        file.write_text(f"web: {{basic_auth_users_file: {tmp_path}/users}}")
        assert "(larger than 4 MB)" in str(self._error(file))

    def _error(self, file: Path) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            load(file, {})
        return caught.value


class TestExposedFiles:
    @pytest.mark.parametrize(
        ("text", "secret"),
        [
            ("connections: {a: {url: 'redis://:hunter2@h'}}", True),
            ("connections: {a: {url: 'redis://u:hunter2@h'}}", True),
            (f"web: {{basic_auth_users: {{alice: {HASH}}}}}", True),
            ("connections: {a: {url: 'redis://u:${PASSWORD}@h'}}", False),
            ("connections: {a: {url: 'redis://h'}}", False),
        ],
    )
    def test_a_configuration(self, tmp_path: Path, text: str, *, secret: bool) -> None:
        file = tmp_path / "config.yaml"
        file.write_text(text)
        config = load(file, {"PASSWORD": "x"})
        file.chmod(0o644)
        assert exposed_files(config, file) == ([file] if secret else [])
        file.chmod(0o640)
        assert exposed_files(config, file) == []

    def test_exposed_files_named_in_a_configuration(self, tmp_path: Path) -> None:
        renew(tmp_path, trustme.CA())
        (tmp_path / "users").write_text(f"alice: {HASH}\n")
        (tmp_path / "password").write_text("hunter2")
        file = tmp_path / "config.yaml"
        file.write_text(
            f"web: {{basic_auth_users_file: {tmp_path}/users, tls: {{"
            f"cert_file: {tmp_path}/server.pem, key_file: {tmp_path}/server.key}}}}\n"
            f"connections: {{a: {{url: redis://h, password_file: {tmp_path}/password}}}}\n"
        )
        for each in tmp_path.iterdir():
            each.chmod(0o644)
        names = [each.name for each in exposed_files(load(file, {}), file)]
        assert names == ["password", "server.key", "users"]
        for each in tmp_path.iterdir():
            each.chmod(0o600)
        assert exposed_files(load(file, {}), file) == []

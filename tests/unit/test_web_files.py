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
from exporter.config.models import Config, RedisTLS, WebTLS
from exporter.config.regular_file import MAX_FILE_BYTES, MAX_YAML_BYTES
from exporter.config.show import show
from exporter.connection.dial import tls_context
from exporter.web import Certificates
from tests.support.command import command
from tests.support.tls import renew, write_certificates

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


class TestPrometheusFormat:
    """`web.config_file`, and the flag `--web.config.file` of `run`."""

    TLS = "cert_file: server.pem, key_file: server.key"

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        renew(tmp_path, write_certificates(tmp_path))
        return tmp_path

    def load(self, folder: Path, text: str, config: str = "") -> Config:
        (folder / "web.yml").write_text(text)
        (folder / "config.yaml").write_text(config)
        return load(folder / "config.yaml", {}, web_config=folder / "web.yml")

    def problems(self, folder: Path, text: str, config: str = "") -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(folder, text, config)
        start = "--web.config.file: FOLDER/web.yml: "
        problems = [str(each).replace(str(folder), "FOLDER") for each in caught.value.problems]
        assert all(each.startswith(start) for each in problems), problems
        return [each.removeprefix(start) for each in problems]

    def test_tls_and_users(self, folder: Path) -> None:
        web = self.load(
            folder,
            f"tls_server_config: {{{self.TLS}, client_ca_file: ca.pem,"
            " client_auth_type: RequireAndVerifyClientCert, min_version: TLS12}\n"
            "http_server_config: {http2: false}\n"
            f"basic_auth_users: {{alice: {HASH}}}\n",
        ).web
        # paths begin at the file's folder, as in Prometheus
        assert web.tls == WebTLS(
            cert_file=folder / "server.pem",
            key_file=folder / "server.key",
            client_ca_file=folder / "ca.pem",
        )
        assert web.basic_auth_users["alice"].reveal() == HASH

    @pytest.mark.parametrize("text", ["", "{}", "tls_server_config: {}\nbasic_auth_users:\n"])
    def test_an_empty_file_changes_nothing(self, folder: Path, text: str) -> None:
        config = f"web: {{basic_auth_users: {{bob: {HASH}}}}}"
        assert set(self.load(folder, text, config).web.basic_auth_users) == {"bob"}

    def test_each_part_may_be_in_its_own_place(self, folder: Path) -> None:
        config = f"web: {{tls: {{cert_file: {folder}/server.pem, key_file: {folder}/server.key}}}}"
        web = self.load(folder, f"basic_auth_users: {{alice: {HASH}}}", config).web
        assert (web.tls.cert_file, set(web.basic_auth_users)) == (folder / "server.pem", {"alice"})

    def test_the_setting_does_the_same_as_the_flag(self, folder: Path) -> None:
        (folder / "web.yml").write_text(f"basic_auth_users: {{alice: {HASH}}}")
        config = load(None, {"BULLMQ_WEB_CONFIG_FILE": str(folder / "web.yml")})
        assert set(config.web.basic_auth_users) == {"alice"}
        (folder / "web.yml").chmod(0o644)
        assert exposed_files(config, None) == [folder / "web.yml"]
        (folder / "web.yml").write_text(f"tls_server_config: {{{self.TLS}}}")
        (folder / "server.key").chmod(0o600)
        assert exposed_files(load(None, {}, web_config=folder / "web.yml"), None) == []

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("tls_config: {}", "line 1, tls_config: unknown key; did you mean tls_server_config?"),
            (
                "web: {}",
                "line 1, web: unknown key; supported keys: basic_auth_users, http_server_config, "
                "tls_server_config",
            ),
            (
                f"tls_server_config:\n  {{{TLS}, cipher_suites: [x]}}",
                "line 2, tls_server_config.cipher_suites: is not supported by this exporter; "
                "remove it; OpenSSL's defaults are used",
            ),
            (
                f"tls_server_config: {{{TLS}, min_version: TLS13}}",
                "line 1, tls_server_config.min_version: only TLS12 is supported; remove the key",
            ),
            (
                "http_server_config: {http2: true}",
                "line 1, http_server_config.http2: only false is supported; remove the key",
            ),
            (
                f"tls_server_config: {{{TLS}, client_auth_type: RequestClientCert}}",
                "line 1, tls_server_config.client_auth_type: only RequireAndVerifyClientCert and "
                "NoClientCert are supported, which leave no client unverified; use one of them",
            ),
            (
                f"tls_server_config: {{{TLS}, client_auth_type: RequireAndVerifyClientCert}}",
                "line 1, tls_server_config.client_auth_type: requires client_ca_file; add it",
            ),
            (
                f"tls_server_config: {{{TLS}, client_ca_file: ca.pem}}",
                "line 1, tls_server_config.client_ca_file: has no effect; set client_auth_type: "
                "RequireAndVerifyClientCert, or remove it",
            ),
            (
                "tls_server_config: {cert_file: server.pem}",
                "line 1, tls_server_config: key_file is missing; add it",
            ),
            (
                "tls_server_config: {cert_file: nothing, key_file: server.key}",
                "line 1, tls_server_config.cert_file: cannot read FOLDER/nothing (No such file or "
                "directory); check the path and its permissions",
            ),
            (
                "tls_server_config: {cert_file: [x], key_file: server.key}",
                "line 1, tls_server_config.cert_file: must be a path",
            ),
            (
                "tls_server_config: 5",
                "line 1, tls_server_config: must be a mapping of keys to values",
            ),
            ("[]", "must be a mapping of keys to values"),
            (
                "basic_auth_users: {alice: hunter2}",
                "line 1, basic_auth_users.alice: must be a bcrypt hash; generate one with "
                "`htpasswd -nB`",
            ),
            (
                "basic_auth_users: [alice]",
                "line 1, basic_auth_users: must be a mapping of names to bcrypt hashes",
            ),
            ("a: 1\na: 1", "line 2, a: repeated key, first on line 1; keep one of them"),
            ("a: [", "line 1, not valid YAML: expected the node content, but found '<stream end>'"),
        ],
    )
    def test_errors_name_their_place_and_remedy(
        self, folder: Path, text: str, problem: str
    ) -> None:
        assert problem in self.problems(folder, text)

    @pytest.mark.parametrize(
        ("text", "config", "problem"),
        [
            (
                f"tls_server_config: {{{TLS}}}",
                "web: {tls: {cert_file: FOLDER/server.pem, key_file: FOLDER/server.key}}",
                "web.tls is set as well; keep one of them",
            ),
            (
                f"basic_auth_users: {{alice: {HASH}}}",
                f"web: {{basic_auth_users: {{bob: {HASH}}}}}",
                "web.basic_auth_users or its file is set as well; keep one of them",
            ),
        ],
    )
    def test_what_is_set_twice_is_an_error(
        self, folder: Path, text: str, config: str, problem: str
    ) -> None:
        assert self.problems(folder, text, config.replace("FOLDER", str(folder))) == [problem]

    def test_a_certificate_that_is_none_names_the_file(self, folder: Path) -> None:
        (folder / "server.pem").write_text("nothing\n")
        with pytest.raises(ConfigError, match=r"--web\.config\.file: cannot load "):
            self.load(folder, f"tls_server_config: {{{self.TLS}}}")

    def test_the_command_refuses_an_invalid_file(self, folder: Path) -> None:
        (folder / "web.yml").write_text("tls: {}")
        done = command("run", "--once", "--web.config.file", str(folder / "web.yml"))
        assert done.returncode == 2
        assert "--web.config.file" in done.stderr
        assert "unknown key" in done.stderr
        missing = command("run", "--web.config.file", str(folder / "missing"))
        assert missing.returncode == 2
        assert "cannot read" in missing.stderr


class TestIrregularFiles:
    """Other files could block the exporter, or never end."""

    KEYS = (
        "web: {basic_auth_users_file: PATH}",
        "web: {config_file: PATH}",
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

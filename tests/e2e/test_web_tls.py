"""Certificates of the HTTP server: client certificates, and renewal without a restart."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from exporter.config.models import WebTLS
from tests.support.tls import client_context, renew, write_certificates
from tests.support.web import OK, Serving, serving


@pytest.fixture
def ca(tmp_path: Path) -> trustme.CA:
    ca = write_certificates(tmp_path)
    renew(tmp_path, ca)
    return ca


def files(folder: Path) -> dict[str, Path]:
    return {"cert_file": folder / "server.pem", "key_file": folder / "server.key"}


def test_only_clients_with_a_valid_certificate_are_served(ca: trustme.CA, tmp_path: Path) -> None:
    right = client_context(ca, tmp_path / "cert.pem", tmp_path / "key.pem")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    write_certificates(stranger)
    wrong = client_context(ca, stranger / "cert.pem", stranger / "key.pem")
    tls = WebTLS(**files(tmp_path), client_ca_file=tmp_path / "ca.pem")
    with serving(tls=tls) as running:
        assert is_served(running, right)
        assert not is_served(running, wrong)
        assert not is_served(running, client_context(ca))
        assert is_served(running, right)
        # from now on, another CA is configured
        (stranger / "ca.pem").replace(tmp_path / "ca.pem")
        assert not is_served(running, right)
        assert is_served(running, wrong)


def is_served(running: Serving, context: ssl.SSLContext) -> bool:
    """With TLS 1.3, a client learns of a rejection only after its handshake."""
    try:
        return running.ask(context=context).startswith(OK)
    except OSError:
        return False


def test_a_renewed_certificate_is_loaded(
    ca: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "exporter.web")

    def logged(message: str) -> int:
        return sum(record.getMessage() == message for record in caplog.records)

    with serving(tls=WebTLS(**files(tmp_path))) as running:
        context = client_context(ca)

        def served() -> bytes | None:
            """The server's current certificate."""
            with running.client(context) as sock:
                assert isinstance(sock, ssl.SSLSocket)
                return sock.getpeercert(binary_form=True)

        first = served()
        assert served() == first
        (tmp_path / "server.key").write_text("half of it\n")
        assert served() == first, "the old one while the new one is not whole"
        assert logged("certificate not renewed") == 1
        renew(tmp_path, ca)
        assert served() != first
        assert running.ask(context=context).startswith(OK)
        assert logged("certificate renewed") == 1

"""Certificates of the HTTP side: of clients, and renewed ones, without a restart."""

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


def test_only_clients_with_a_certificate(ca: trustme.CA, tmp_path: Path) -> None:
    right = client_context(ca, tmp_path / "cert.pem", tmp_path / "key.pem")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    write_certificates(stranger)
    wrong = client_context(ca, stranger / "cert.pem", stranger / "key.pem")
    tls = WebTLS(**files(tmp_path), client_ca_file=tmp_path / "ca.pem")
    with serving(tls=tls) as running:
        assert answered(running, right)
        assert not answered(running, wrong)
        assert not answered(running, client_context(ca))
        assert answered(running, right)
        # the CA is another one from now on
        (stranger / "ca.pem").replace(tmp_path / "ca.pem")
        assert not answered(running, right)
        assert answered(running, wrong)


def answered(running: Serving, context: ssl.SSLContext) -> bool:
    """With TLS 1.3 a client hears of a refusal after its handshake, instead of an answer."""
    try:
        return running.ask(context=context).startswith(OK)
    except OSError:
        return False


def test_a_renewed_certificate(
    ca: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "exporter.web")

    def said(message: str) -> int:
        return sum(record.getMessage() == message for record in caplog.records)

    with serving(tls=WebTLS(**files(tmp_path))) as running:
        context = client_context(ca)

        def served() -> bytes | None:
            """The certificate that the server shows now."""
            with running.client(context) as sock:
                assert isinstance(sock, ssl.SSLSocket)
                return sock.getpeercert(binary_form=True)

        first = served()
        assert served() == first
        (tmp_path / "server.key").write_text("half of it\n")
        assert served() == first, "the old one while the new one is not whole"
        assert said("certificate not renewed") == 1
        renew(tmp_path, ca)
        assert served() != first
        assert running.ask(context=context).startswith(OK)
        assert said("certificate renewed") == 1

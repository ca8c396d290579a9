"""The TLS context of the exporter's own HTTP server."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.config.regular_file import check_regular

if TYPE_CHECKING:
    from exporter.config.models import WebTLS


def server_context(tls: WebTLS) -> ssl.SSLContext | None:
    """The context, loaded from the files as they are now; None if no certificate is configured.

    Raises `ValueError` with the files, the reason and the remedy.
    """
    if tls.cert_file is None or tls.key_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # a resumed session would outlive the removal of its client CA
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        check_regular(tls.cert_file)
        check_regular(tls.key_file)
        # without a password here, OpenSSL would prompt for one on the terminal for an encrypted key
        context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    except OSError as error:
        raise ValueError(
            f"cannot load {tls.cert_file} and {tls.key_file} ({_reason(error)}); they must hold a "
            "PEM certificate with its chain, and its unencrypted key"
        ) from None
    if tls.client_ca_file is not None:
        _require_client_certificates(context, tls.client_ca_file)
    return context


def _require_client_certificates(context: ssl.SSLContext, client_ca_file: Path) -> None:
    try:
        check_regular(client_ca_file)
        context.load_verify_locations(cafile=client_ca_file)
    except OSError as error:
        raise ValueError(
            f"cannot load {client_ca_file} ({_reason(error)}); it must hold PEM certificates"
        ) from None
    context.verify_mode = ssl.CERT_REQUIRED


def _reason(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return str(reason or error).replace("_", " ").lower()

"""The TLS context of the exporter's own HTTP server."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.config.models import WebTLS


def server_context(tls: WebTLS) -> ssl.SSLContext | None:
    """The context for these files as they are now; None where there is no certificate.

    Raises `ValueError` with what is wrong.
    """
    if tls.cert_file is None or tls.key_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # a resumed session would outlive a client CA that was taken away
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        # without a password, an encrypted key would have OpenSSL ask for one on the terminal
        context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    except OSError as error:
        raise ValueError(
            f"{tls.cert_file} and {tls.key_file} cannot be used ({_reason(error)}); they must be a "
            "PEM certificate, with its chain, and its unencrypted key"
        ) from None
    if tls.client_ca_file is not None:
        _trust(context, tls)
    return context


def _trust(context: ssl.SSLContext, tls: WebTLS) -> None:
    try:
        context.load_verify_locations(cafile=tls.client_ca_file)
    except OSError as error:
        raise ValueError(
            f"{tls.client_ca_file} cannot be used ({_reason(error)}); it must hold PEM certificates"
        ) from None
    context.verify_mode = ssl.CERT_REQUIRED


def _reason(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return str(reason or error).replace("_", " ").lower()

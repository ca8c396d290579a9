"""Why a connection that opens is closed at the first command: TLS that one side does not expect."""

from __future__ import annotations

import socket
import ssl

from exporter.config.models import Connection
from exporter.connection.dial import tls_context


def explain_alert(settings: Connection, error: Exception) -> str | None:
    """The remedy for an alert about the client's certificate; None if it is another error."""
    reason = str(getattr(error, "reason", None) or "")
    about_certificate = "CERTIFICATE" in reason or "UNKNOWN_CA" in reason
    if "ALERT" not in reason or not (about_certificate or "HANDSHAKE_FAILURE" in reason):
        return None
    if settings.tls.cert_file is None:
        return "the server requires a client certificate; set tls.cert_file and tls.key_file"
    if not about_certificate:
        return None
    return "the server rejects the client certificate; check tls.cert_file and its tls-ca-cert-file"


def explain_disconnect(settings: Connection) -> str | None:
    """The cause and remedy of a login that failed because the server disconnected, if it is TLS.

    Opens another connection, on which nothing is sent after the handshake: the server's alert would
    be lost if a command followed it.
    """
    url = settings.url
    if settings.sentinel is not None or url.scheme == "unix":
        return None
    timeout = settings.connect_timeout_seconds
    try:
        with socket.create_connection((url.host, url.port), timeout) as sock:
            if url.scheme == "redis":
                return f"this is a TLS port; use rediss://{url.address}" if _is_tls(sock) else None
            context, name = tls_context(settings.tls), settings.tls.server_name or url.host
            with context.wrap_socket(sock, server_hostname=name) as wrapped:
                wrapped.recv(1)
    except (OSError, ValueError) as error:
        return explain_alert(settings, error)
    return None


def _is_tls(sock: socket.socket) -> bool:
    """Whether the other side speaks TLS; an alert proves it, too."""
    try:
        tls_without_checks().wrap_socket(sock).close()
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False
    return True


def tls_without_checks() -> ssl.SSLContext:
    """For finding out who answers; nothing secret may be sent."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context

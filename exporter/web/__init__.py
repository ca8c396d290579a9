"""The HTTP side: routes that answer from memory, and the server under them."""

from exporter.web.auth import Users
from exporter.web.certificates import Certificates
from exporter.web.routes import application
from exporter.web.server import ListenError, WebServer, open_socket

__all__ = ["Certificates", "ListenError", "Users", "WebServer", "application", "open_socket"]

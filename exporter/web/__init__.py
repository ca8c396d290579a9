"""HTTP: the server, and endpoints that respond from memory."""

from exporter.web.auth import Users
from exporter.web.certificates import Certificates
from exporter.web.routes import application
from exporter.web.server import ListenError, WebServer, open_socket

__all__ = ["Certificates", "ListenError", "Users", "WebServer", "application", "open_socket"]

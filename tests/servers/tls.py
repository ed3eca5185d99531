"""TLS: gives a server of ours a certificate that it has signed itself, made by openssl. Nobody can verify it."""

from __future__ import annotations

from . import machine
from .machine import ServerError
from .server import Server

_SETTINGS = {
    "postgresql": {"ssl": "on", "ssl_cert_file": "certificate", "ssl_key_file": "key"},
    "mariadb": {"ssl-cert": "certificate", "ssl-key": "key"},
}


def secure(server: Server) -> None:
    """Have a server speak TLS from its next start on. Raises: ServerError - there is no openssl."""
    openssl = machine.find_program("openssl")
    if openssl is None:
        raise ServerError("no openssl to make a certificate with; on Debian: apt-get install openssl")
    files = {name: server.home.path / f"tls-{name}" for name in ("certificate", "key")}
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    server.home.run(openssl, *words, "-keyout", files["key"], "-out", files["certificate"])
    files["key"].chmod(0o600)
    server.settings |= {name: str(files.get(value, value)) for name, value in _SETTINGS[server.kind].items()}

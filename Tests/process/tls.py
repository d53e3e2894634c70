"""Certificates of the tests' own, and TLS clients."""

import socket
import ssl
import subprocess
from pathlib import Path

from server import Server


def make_pair(folder: Path, name: str = "server", days: int = 100) -> tuple[Path, Path]:
    """A certificate for localhost and its key, as PEM files."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate,
         "-days", str(days), "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )
    return certificate, key


def tls_options(pair: tuple[Path, Path]) -> list[str]:
    return ["--tls-certificate", str(pair[0]), "--tls-key", str(pair[1])]


def client_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def connect_tls(server: Server, context: ssl.SSLContext | None = None, **options) -> ssl.SSLSocket:
    return (context or client_context()).wrap_socket(server.connect(**options), server_hostname="localhost")


def read_all(connection: socket.socket) -> bytes:
    """Everything until the peer ends; a reset raises."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


def served_name(server: Server) -> str:
    """The common name of the certificate that a new connection gets."""
    pem = ssl.get_server_certificate(("127.0.0.1", server.port))
    shown = subprocess.run(["openssl", "x509", "-noout", "-subject"], input=pem, capture_output=True, text=True, check=True)
    return shown.stdout.strip().rpartition("CN = ")[2]

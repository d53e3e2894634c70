"""The examples of deploy/nginx, deploy/haproxy and deploy/caddy, run by the real programs before the real server.

Only ports, paths and the host's name are replaced in the files.
"""

import contextlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest
import websockets.sync.client

from server import ROOT, Server, unique, wait_until

DEPLOY = ROOT / "deploy"
# What the examples call the server, and a name that dev mode answers to.
EXAMPLE = "push.example.com"
NAME = "push.localhost"
# Where Debian puts them is not in everybody's path.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    for before, after in pairs:
        assert before in text, f"the example no longer holds {before!r}"
        text = text.replace(before, after)
    return text


def nginx(folder: Path, port: int, upstream: int, names: dict) -> list[str]:
    site = replaced(
        (DEPLOY / "nginx" / "martlet.conf").read_text(), (EXAMPLE, NAME), ("127.0.0.1:8080", f"127.0.0.1:{upstream}"),
        ("listen 443", f"listen 127.0.0.1:{port}"), ("/etc/ssl/martlet/fullchain.pem", names["certificate"]),
        ("/etc/ssl/martlet/key.pem", names["key"]), ("/var/log/nginx", str(folder)))
    (folder / "site.conf").write_text(site)
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/proxy.log;\n"
        f"events {{ worker_connections 1024; }}\nhttp {{ {temporary} include {folder}/site.conf; }}\n")
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def haproxy(folder: Path, port: int, upstream: int, names: dict, proxy_protocol: bool = False) -> list[str]:
    config = replaced(
        (DEPLOY / "haproxy" / "haproxy.cfg").read_text(), ("127.0.0.1:8080 check", f"127.0.0.1:{upstream} check"),
        ("bind :443", f"bind 127.0.0.1:{port}"), ("/etc/ssl/martlet/both.pem", names["both"]),
        ("maxconn 100000", "maxconn 1000"))
    if proxy_protocol:
        config = replaced(config, ("    server one", "    http-reuse never\n    server one"), ("check\n", "check send-proxy-v2\n"))
        config = config.replace("    http-request set-header X-Forwarded-For %[src]\n", "")
    (folder / "haproxy.cfg").write_text(config)
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


def haproxy_with_proxy_protocol(folder: Path, port: int, upstream: int, names: dict) -> list[str]:
    return haproxy(folder, port, upstream, names, proxy_protocol=True)


def haproxy_over_http2(folder: Path, port: int, upstream: int, names: dict) -> list[str]:
    command = haproxy(folder, port, upstream, names)
    file = folder / "haproxy.cfg"
    file.write_text(replaced(file.read_text(), ("check\n", "check proto h2 ws h1\n")))
    return command


def caddy_over_http2(folder: Path, port: int, upstream: int, names: dict) -> list[str]:
    command = caddy(folder, port, upstream, names)
    file = folder / "Caddyfile"
    # A WebSocket goes over HTTP/1.1.
    proxy = "\treverse_proxy " + replaced(file.read_text(), ("\treverse_proxy ", "\0")).partition("\0")[2].partition("\n\t}\n")[0] + "\n\t}\n"
    over_http2 = replaced(proxy, ("\t\theader_up", "\t\ttransport http {\n\t\t\tversions h2c\n\t\t}\n\t\theader_up"))
    websocket = "\t@websocket header Upgrade websocket\n" + replaced(proxy, ("reverse_proxy ", "reverse_proxy @websocket "))
    file.write_text(replaced(file.read_text(), (proxy, websocket + over_http2)))
    return command


def caddy(folder: Path, port: int, upstream: int, names: dict) -> list[str]:
    # The certificate that it would fetch is handed to it, and its administration and its port 80 are off.
    site = replaced(
        (DEPLOY / "caddy" / "Caddyfile").read_text(), ("127.0.0.1:8080", f"127.0.0.1:{upstream}"),
        (EXAMPLE + " {", f"https://{NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {names['certificate']} {names['key']}"))
    (folder / "Caddyfile").write_text(replaced(site, ("\tgrace", "\tadmin off\n\tauto_https disable_redirects\n\tgrace")))
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


PROXIES = {
    "nginx": (nginx, []), "haproxy": (haproxy, []), "haproxy-proxy-protocol": (haproxy_with_proxy_protocol, ["--proxy-protocol"]),
    "haproxy-http2": (haproxy_over_http2, []), "caddy": (caddy, []), "caddy-http2": (caddy_over_http2, []),
}


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=30)
    (folder / "both.pem").write_text(certificate.read_text() + key.read_text())
    return {"certificate": str(certificate), "key": str(key), "both": str(folder / "both.pem")}


class Proxied:
    """A server behind a proxy. Clients call it by its name, from an address of their own."""

    def __init__(self, port: int, server: Server, certificate: str):
        self.port, self.server = port, server
        self.tls = ssl.create_default_context(cafile=certificate)

    def connect(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), 10, source_address=(source, 0))
        return self.tls.wrap_socket(plain, server_hostname=NAME)

    def request(self, target: str, source: str = "127.0.0.1", body: bytes | None = None, **headers: str):
        """One request on a connection of its own; returns the open connection and a reader at its head."""
        connection = self.connect(source)
        head = f"{'GET' if body is None else 'POST'} {target} HTTP/1.1\r\nHost: {NAME}\r\n"
        for name, value in headers.items():
            head += f"{name.replace('_', '-')}: {value}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(head.encode() + b"\r\n" + (body or b""))
        return connection, connection.makefile("rb")

    def status(self, *arguments, **options) -> int:
        connection, reader = self.request(*arguments, **options)
        with connection, reader:
            return int(reader.readline().split()[1])


@pytest.fixture(params=PROXIES)
def proxied(request, tmp_path, names):
    make, options = PROXIES[request.param]
    program = request.param.split("-")[0]
    if not shutil.which(program, path=PATH):
        pytest.skip(f"{program} is not installed")
    server = Server(
        tmp_path / "data", "--trusted-proxies", "127.0.0.1", "--limits-connections-per-address", "1",
        "--drain-seconds", "1", *(option for option in options if option != "--proxy-protocol"))
    port = free_port()
    folder = tmp_path / "proxy"
    folder.mkdir()
    # The tests themselves speak to the server directly only where it does not expect a PROXY header.
    if options:
        server.options += tuple(options)
    server.start()
    log = open(folder / "output.log", "wb")
    process = subprocess.Popen(
        [shutil.which(program, path=PATH), *make(folder, port, server.port, names)[1:]], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        env={"HOME": str(folder), "PATH": PATH})
    try:
        result = Proxied(port, server, names["certificate"])

        def answers() -> bool:
            assert process.poll() is None, (folder / "output.log").read_text()
            try:
                return result.status("/healthz", Connection="close") == 200
            except OSError:
                return False

        wait_until(answers, 15, f"{request.param} answers")
        yield result
    finally:
        process.kill()
        process.wait()
        server.stop()


def publish(proxied: Proxied, user: str, data, source: str) -> None:
    body = json.dumps({"to": {"user": user}, "data": data}).encode()
    assert proxied.status("/v1/messages", source=source, body=body, Connection="close") == 202


def read_until(reader, pattern: bytes) -> bytes:
    text = b""
    while not re.search(pattern, text):
        piece = reader.read1(65_536)
        assert piece, text
        text += piece
    return text


STREAMS = {
    "sse": "/v1/sse?", "ndjson": "/v1/stream?format=ndjson&", "multipart": "/v1/stream?format=multipart&",
    "iframe": "/v1/stream?format=iframe&callback=app.push&",
}
POLLS = {"long poll": "/v1/poll?wait=20&", "jsonp": "/v1/poll?wait=20&callback=app.push&"}


def slowest(open_stream, say, device: str) -> float:
    """How long the slowest of some messages took; each comes before the next is published."""
    connection, reader = open_stream(device)
    result = 0.0
    with connection, reader:
        connection.settimeout(5)
        assert b" 200" in reader.readline()
        for number in range(10):
            text = f"{device}-{number}"
            say(text)
            start = time.monotonic()
            read_until(reader, text.encode() + rb'\\?"')
            result = max(result, time.monotonic() - start)
    return result


@pytest.mark.parametrize("way", STREAMS)
def test_messages_arrive_at_once(proxied, user, way):
    def open_stream(device: str):
        return proxied.request(f"{STREAMS[way]}user={user}&device={device}", source="127.0.0.2")

    assert slowest(open_stream, lambda text: publish(proxied, user, text, source="127.0.0.3"), "d") < 1


@pytest.mark.parametrize("way", POLLS)
def test_a_held_answer_arrives_at_once(proxied, user, way):
    connection, reader = proxied.request(f"{POLLS[way]}user={user}&device=d", source="127.0.0.2", Connection="close")
    with connection, reader:
        connection.settimeout(5)
        publish(proxied, user, "wake up", source="127.0.0.3")
        start = time.monotonic()
        read_until(reader, b"wake up")
        assert time.monotonic() - start < 1


def test_an_exchange_passes(proxied, user):
    body = json.dumps({"publish": {"topic": "a", "data": 1, "ref": 1}}).encode()
    connection, reader = proxied.request(f"/v1/exchange?user={user}", body=body, Connection="close")
    with connection, reader:
        assert b'"ref":1' in read_until(reader, b"published.*\n")


@pytest.fixture(scope="module")
def plain_nginx(tmp_path_factory, hub):
    """nginx as it is without any option: HTTP/1.0 to the server, answers buffered; with `gzip on`, as Debian's nginx.conf has it."""
    program = shutil.which("nginx", path=PATH)
    if not program:
        pytest.skip("nginx is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ {temporary} access_log off; gzip on; server {{ listen 127.0.0.1:{port};\n"
        f"    location / {{ proxy_pass http://127.0.0.1:{hub.port}; }}\n"
        f"    location /held/ {{ proxy_ignore_headers X-Accel-Buffering; proxy_pass http://127.0.0.1:{hub.port}/; }} }} }}\n")
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf")], stdin=subprocess.DEVNULL)
    try:
        def answers() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
            except httpx.HTTPError:
                return False

        wait_until(answers, 15, "nginx answers")
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("accept", ["identity", "gzip"])
def test_default_buffering_holds_no_stream_back(plain_nginx, hub, user, way, accept):
    with httpx.Client(timeout=5, trust_env=False, headers={"Accept-Encoding": accept}) as client:
        with client.stream("GET", f"http://127.0.0.1:{plain_nginx}{STREAMS[way]}user={user}&device=d") as answer:
            assert answer.status_code == 200
            assert "x-accel-buffering" not in answer.headers, "it is for nginx"
            pieces, text = answer.iter_bytes(), b""
            for number in range(10):
                sent = hub.publish(user, data=f"message-{number}")
                start = time.monotonic()
                while sent.encode() not in text:
                    text += next(pieces)
                assert time.monotonic() - start < 1


def test_it_would_without_the_header(plain_nginx, hub, user):
    with httpx.Client(timeout=1, trust_env=False) as client, pytest.raises(httpx.ReadTimeout):
        with client.stream("GET", f"http://127.0.0.1:{plain_nginx}/held/v1/stream?user={user}&device=d") as answer:
            text = b""
            for piece in answer.iter_bytes():
                text += piece
                assert b"welcome" not in text


@pytest.mark.parametrize("way", POLLS)
def test_default_buffering_holds_no_answer_back(plain_nginx, hub, user, way):
    answers = []
    url = f"http://127.0.0.1:{plain_nginx}{POLLS[way]}user={user}&device=d"
    thread = threading.Thread(target=lambda: answers.append(httpx.get(url, timeout=30, trust_env=False).text))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    start = time.monotonic()
    sent = hub.publish(user, data=1)
    thread.join(5)
    assert time.monotonic() - start < 1 and sent in answers[0]


def test_the_handbook_shows_these_files():
    """What is shown is what was tested here, comments and all."""
    handbook = (ROOT / "docs" / "operations.md").read_text()
    for name in ("nginx/martlet.conf", "haproxy/haproxy.cfg", "caddy/Caddyfile"):
        text = (DEPLOY / name).read_text()
        assert f"`deploy/{name}`" in handbook and f"```\n{text}```\n" in handbook, f"copy deploy/{name} into docs/operations.md"


def test_websocket_works(proxied, user):
    plain = socket.create_connection(("127.0.0.1", proxied.port), 10, source_address=("127.0.0.2", 0))
    uri = f"wss://{NAME}/v1/ws?user={user}&device=d&ack=explicit"
    with websockets.sync.client.connect(uri, sock=plain, ssl=proxied.tls, server_hostname=NAME, proxy=None, open_timeout=60) as socket_:
        assert "welcome" in json.loads(socket_.recv(15))
        publish(proxied, user, "hello", source="127.0.0.3")
        assert json.loads(socket_.recv(15))["message"]["data"] == "hello"


def test_a_batch_of_the_largest_size_passes(proxied, user):
    line = json.dumps({"to": {"user": user}, "ttl": 0, "data": "x" * 60_000}).encode() + b"\n"
    body = line * (8_388_608 // len(line))
    context = proxied.tls
    with httpx.Client(verify=context, trust_env=False, timeout=30) as client:
        answer = client.post(
            f"https://127.0.0.1:{proxied.port}/v1/messages", content=body,
            headers={"Host": NAME, "Content-Type": "application/x-ndjson"}, extensions={"sni_hostname": NAME})
    assert answer.status_code == 200 or answer.status_code == 202, answer.text[:300]


def test_the_client_s_address_is_the_one_that_counts(proxied, user):
    """One connection of an address is allowed: the proxy's own is not counted, and no claim of the client is believed."""
    with contextlib.ExitStack() as streams:

        def open_stream(source: str, device: str, **headers) -> tuple[int, contextlib.ExitStack]:
            stream = streams.enter_context(contextlib.ExitStack())
            connection, reader = proxied.request(f"/v1/sse?user={user}&device={device}", source=source, **headers)
            stream.enter_context(connection)
            stream.enter_context(reader)
            return int(reader.readline().split()[1]), stream

        status, first = open_stream("127.0.0.2", "a")
        assert status == 200
        assert open_stream("127.0.0.3", "b")[0] == 200, "another address is another client"
        for claim in ({}, {"X_Forwarded_For": "198.51.100.7"}):
            assert open_stream("127.0.0.2", "c", **claim)[0] in (429, 503), "a second stream of the first address"
        first.close()

        def is_free() -> bool:
            status, stream = open_stream("127.0.0.2", "d")
            stream.close()
            return status == 200

        wait_until(is_free, 10, "the address is free again")

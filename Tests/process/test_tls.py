"""TLS on the listener: every transport through it, certificates that change, what is refused."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest

import sse
from server import Server, binary, unique, wait_until
from wire import frame, handshake, request
from tls import client_context, connect_tls, make_pair, read_all, served_name, tls_options


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def secure(folder):
    server = Server(folder / "data", *tls_options(make_pair(folder)), "--limits-head-seconds", "2").start()
    yield server
    server.stop()


def until(connection: ssl.SSLSocket, mark: bytes, data: bytes = b"") -> bytes:
    while mark not in data:
        chunk = connection.recv(65536)
        assert chunk, data
        data += chunk
    return data


def test_the_ready_line_says_https_and_requests_work(secure):
    assert secure.url.startswith("https://")
    assert secure.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_with_alpn(secure, version):
    with connect_tls(secure, client_context(version)) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert "GCM" in connection.cipher()[0] or "CHACHA20" in connection.cipher()[0]
        connection.sendall(request("GET", "/healthz"))
        assert b'{"status":"ok"}' in until(connection, b"}")


def test_old_versions_and_weak_ciphers_are_refused(secure):
    for options in (["-tls1_1"], ["-tls1_2", "-cipher", "AES128-GCM-SHA256"], ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256"]):
        shown = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{secure.port}", *options, "-cipher", "DEFAULT@SECLEVEL=0"]
            if options == ["-tls1_1"] else ["openssl", "s_client", "-connect", f"127.0.0.1:{secure.port}", *options],
            input=b"", capture_output=True, timeout=10)
        assert shown.returncode != 0, (options, shown.stdout)


def test_streams_through_tls(secure):
    """SSE, WebSocket and polls, with messages larger than a TLS record."""
    user = unique("tls")
    with connect_tls(secure) as stream, connect_tls(secure) as web:
        stream.sendall(request("GET", f"/v1/sse?user={user}&device=s"))
        start = until(stream, b"event: welcome")
        web.sendall(handshake(f"/v1/ws?user={user}&device=w"))
        web_start = until(web, b"welcome")
        secure.publish(user, data="x" * 60_000)
        assert b"x" * 60_000 in until(stream, b"x" * 60_000, start)
        until(web, b"x" * 60_000, web_start)
        web.sendall(frame(b'{"ping":1}'))
        until(web, b'{"pong":1}')
    answer = secure.get("/v1/poll", params={"user": user, "device": "p"}).json()
    assert len(answer["messages"]) == 1


def test_a_slow_reader_behind_tls_gets_everything(secure):
    """The socket takes little at a time: the session must wait for it and go on."""
    user = unique("slow")
    with connect_tls(secure, receive_buffer=4096) as stream:
        stream.sendall(request("GET", f"/v1/sse?user={user}&device=s"))
        data = until(stream, b"event: welcome")
        for number in range(60):
            secure.publish(user, data=f"{number}:" + "y" * 50_000)
        time.sleep(0.3)  # the reader sleeps, not the test: what is sent must pile up
        data = until(stream, b'"59:' + b"y" * 50_000, data)
        assert [f'"{number}:'.encode() in data for number in range(60)] == [True] * 60


def test_a_plain_client_is_told_and_closed_cleanly(secure):
    with secure.connect() as plain:
        plain.sendall(request("GET", "/healthz", "X-Filler: " + "f" * 3_000))
        data = read_all(plain)
    head, _, body = data.partition(b"\r\n\r\n")
    assert sse.parse_head(head).status == 400
    assert "https://" in json.loads(body)["error"]["message"]


def test_garbage_instead_of_a_handshake_ends_the_connection(secure):
    for start in (b"\x16\x03\x01\xff\xff" + b"\x00" * 600, b"\x16" + os.urandom(300), b"\x80\x2e\x01\x00\x02" + os.urandom(50), b"\x16\x03\x01"):
        with secure.connect(timeout=10) as client:
            client.sendall(start)
            try:
                read_all(client)
            except ConnectionError:
                pass
    assert secure.get("/healthz").status_code == 200


def test_a_handshake_that_takes_too_long_is_ended(secure):
    with secure.connect(timeout=10) as half, secure.connect(timeout=10) as silent:
        half.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # the beginning of a hello
        start = time.monotonic()
        for client in (half, silent):
            try:
                read_all(client)
            except ConnectionError:
                pass
        assert 1.5 < time.monotonic() - start < 7


def test_a_new_certificate_is_taken_while_connections_live(folder):
    """By itself when the files change, at once on SIGHUP; a bad pair changes nothing and is logged."""
    first, second, third = (make_pair(folder, name) for name in ("first", "second", "third"))
    live = folder / "live"
    live.mkdir()
    pair = (live / "cert.pem", live / "key.pem")

    def install(source):
        for old, new in zip(source, pair):
            shutil.copy(old, f"{new}.new")
            os.replace(f"{new}.new", new)

    install(first)
    server = Server(folder / "renewed", *tls_options(pair)).start()
    try:
        assert served_name(server) == "first"
        with connect_tls(server) as old:
            old.sendall(request("GET", "/v1/sse?user=renewal&device=d"))
            data = until(old, b"event: welcome")
            install(second)
            wait_until(lambda: served_name(server) == "second", 15, "the new certificate")
            install(third)
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: served_name(server) == "third", 1.5, "the certificate after SIGHUP")
            # The key of another: the pair before stays, and the log says why.
            shutil.copy(first[1], pair[1])
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "does not belong" in server.tail(), 10, "the line about the bad pair")
            pair[0].write_text("nothing")
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "There is no certificate" in server.tail(), 10, "the line about the bad file")
            assert served_name(server) == "third"
            server.publish("renewal", data="still here")
            until(old, b'"still here"', data)
    finally:
        server.stop()


@pytest.mark.long
def test_a_renewal_in_two_steps_is_no_error(folder):
    """First the certificate, then the key: a warning in between. An error only if it stays so for a minute."""
    first, second = make_pair(folder, "early"), make_pair(folder, "late")
    live = folder / "steps"
    live.mkdir()
    pair = (live / "cert.pem", live / "key.pem")
    for source, target in zip(first, pair):
        shutil.copy(source, target)
    server = Server(folder / "steps-data", "--log-format", "json", *tls_options(pair)).start()

    def told() -> list[str]:
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
        return [line["level"] for line in lines if line["message"].startswith("certificate not reloaded")]

    try:
        shutil.copy(second[0], pair[0])
        wait_until(told, 10, "the line about the half")
        assert told() == ["warning"] and served_name(server) == "early"
        shutil.copy(second[1], pair[1])
        wait_until(lambda: served_name(server) == "late", 15, "the new pair")
        assert told() == ["warning"]
        shutil.copy(first[0], pair[0])
        wait_until(lambda: told() == ["warning", "warning", "error"], 80, "the error")
    finally:
        server.stop()


def test_sighup_without_tls_ends_nothing(server):
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "SIGHUP" in server.tail(), 5, "the line")
    assert server.get("/healthz").status_code == 200


def refusal(folder, *options: str) -> str:
    ended = subprocess.run(
        [binary(), "serve", "--dev", "--listen", "127.0.0.1:0", "--data", str(folder / "never"), *options], capture_output=True, timeout=20)
    assert ended.returncode == 1
    return ended.stderr.decode()


def test_a_start_that_cannot_be_says_why(folder):
    pair, other = make_pair(folder, "good"), make_pair(folder, "other")
    locked = folder / "locked.key"
    subprocess.run(["openssl", "pkey", "-in", pair[1], "-aes256", "-passout", "pass:x", "-out", locked], check=True, capture_output=True)
    assert "/nowhere.pem: there is no such file" in refusal(folder, *tls_options(("/nowhere.pem", pair[1])))
    assert "does not belong to" in refusal(folder, *tls_options((pair[0], other[1])))
    assert "There is no certificate in" in refusal(folder, *tls_options((pair[1], pair[1])))
    assert "There is no private key in" in refusal(folder, *tls_options((pair[0], pair[0])))
    assert "is encrypted" in refusal(folder, *tls_options((pair[0], locked)))


def test_a_shutdown_does_not_wait_for_silent_tls_clients(folder):
    server = Server(folder / "down", *tls_options(make_pair(folder, "down")), "--drain-seconds", "3").start()
    clients = [connect_tls(server) for _ in range(5)] + [server.connect() for _ in range(5)]
    try:
        start = time.monotonic()
        server.terminate()
        assert server.wait() == 0
        assert time.monotonic() - start < 6
    finally:
        for client in clients:
            client.close()
        server.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), 1)

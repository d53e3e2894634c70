"""Client tokens: who signs them, how long they last, what takes them back."""

import http.server
import json
import threading
import time

import jwt
import pytest
import websockets.exceptions
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from access import ACME_SECRET, SECRET, Guarded, bearer, martlet, token
from clients import RawSSE, WebSocket
from server import wait_until


@pytest.fixture
def guarded(tmp_path):
    server = Guarded(tmp_path / "data", "--drain-seconds", "2").start()
    yield server
    server.stop()


def may(server, shown: str) -> bool:
    return server.request("GET", "/v1/poll", shown).status_code == 200


def public(key) -> str:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def private(key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


# ------------------------------------------------------------ keys in files


def test_public_keys_take_their_own_algorithm_only(tmp_path):
    files = []
    for name, key in (("ec.pem", EC), ("rsa.pem", RSA)):
        (tmp_path / name).write_text(public(key))
        files.append(str(tmp_path / name))
    server = Guarded(tmp_path / "data", "--tokens-public-keys", ",".join(files)).start()
    try:
        assert may(server, token(secret=private(EC), algorithm="ES256"))
        assert may(server, token(secret=private(RSA), algorithm="RS256"))
        assert may(server, token())
        other = ec.generate_private_key(ec.SECP256R1())
        assert not may(server, token(secret=private(other), algorithm="ES256"))
        assert not may(server, token(secret=private(RSA), algorithm="PS256"))
        # The old trick: the public key, which everybody knows, as the secret of HS256.
        for pem in (public(EC), public(RSA)):
            assert not may(server, hs256(pem))
            assert not may(server, hs256(pem.strip()))
    finally:
        server.stop()


def hs256(secret: str) -> str:
    """PyJWT refuses to sign with what looks like a public key."""
    import base64
    import hashlib
    import hmac

    parts = [{"alg": "HS256"}, {"sub": "alice", "exp": int(time.time()) + 60}]
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return text + "." + base64.urlsafe_b64encode(signature).decode().rstrip("=")


@pytest.mark.parametrize("content, says", [("short", "32"), (None, "secret")])
def test_a_secret_that_is_none_keeps_the_server_from_starting(tmp_path, content, says):
    file = tmp_path / "secret"
    if content:
        file.write_text(content)
    result = martlet("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--tokens-secret-file", str(file))
    assert result.returncode == 1
    assert says in result.stderr


def test_issuer_and_audience(tmp_path):
    server = Guarded(tmp_path / "data", "--tokens-issuer", "https://id.example", "--tokens-audience", "push").start()
    try:
        assert may(server, token(iss="https://id.example", aud="push"))
        assert may(server, token(iss="https://id.example", aud=["other", "push"]))
        assert not may(server, token(iss="https://id.example"))
        assert not may(server, token(iss="https://id.example", aud="pushy"))
        assert not may(server, token(aud="push"))
        assert not may(server, token(iss="https://id.example/", aud="push"))
    finally:
        server.stop()


def test_the_leeway_forgives_a_clock(tmp_path):
    server = Guarded(tmp_path / "data", "--tokens-leeway-seconds", "60").start()
    now = int(time.time())
    try:
        assert may(server, token(exp=now - 30)) and may(server, token(nbf=now + 30)) and may(server, token(iat=now + 30))
        assert not may(server, token(exp=now - 90)) and not may(server, token(nbf=now + 90))
    finally:
        server.stop()


def test_an_end_may_be_required(tmp_path):
    server = Guarded(tmp_path / "data", "--tokens-require-exp").start()
    try:
        good, endless = token(), token(exp=None)
        assert may(server, good)
        for status, code, _ in (
            server.status_of("GET", "/v1/poll", headers=bearer(endless)), server.status_of("GET", f"/v1/sse?token={endless}"),
            server.websocket_status("", bearer(endless)),
        ):
            assert (status, code) == (401, "unauthorized")
        answer = server.request("GET", "/v1/poll", endless)
        assert "(exp)" in answer.json()["error"]["message"] and answer.headers["www-authenticate"] == "Bearer"
        # Neither as the first frame, nor to renew with.
        with server.websocket() as opened:
            opened.send(json.dumps({"token": endless}))
            assert json.loads(opened.recv(5))["error"]["code"] == "unauthorized"
        with server.websocket("?device=d", bearer(good)) as opened:
            assert "welcome" in json.loads(opened.recv(5))
            opened.send(json.dumps({"token": endless}))
            assert json.loads(opened.recv(5))["error"]["code"] == "unauthorized"
        # Another app decides for itself.
        assert may(server, token(secret=ACME_SECRET, app="acme", exp=None))
        assert may(server, martlet("token", "--user", "alice", "--secret-file", str(tmp_path / "data-default-secret")).stdout.strip())
    finally:
        server.stop()


def test_martlet_token_makes_tokens_that_are_taken(guarded, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    made = martlet("token", "--user", "alice", "--device", "a1", "--expires", "30m", "--secret-file", str(secret))
    claims = jwt.decode(made.stdout.strip(), SECRET, algorithms=["HS256"])
    assert claims["sub"] == "alice" and claims["device"] == "a1" and claims["exp"] - claims["iat"] == 1_800
    assert may(guarded, made.stdout.strip())
    key = tmp_path / "ec.pem"
    key.write_text(private(EC))
    made = martlet("token", "--user", "bob", "--key-file", str(key))
    assert jwt.decode(made.stdout.strip(), public(EC), algorithms=["ES256"])["sub"] == "bob"
    secret.write_text("short")
    failed = martlet("token", "--user", "alice", "--secret-file", str(secret))
    assert failed.returncode == 1 and "32" in failed.stderr


# ------------------------------------------------------------ JWKS


class KeySets:
    """A server of key sets that can go away and come back on the same port."""

    def __init__(self):
        self.keys: dict[str, object] = {}
        self.asked = 0
        self.port = 0
        self.open = threading.Event()
        self.open.set()
        self.start()

    def start(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                owner.asked += 1
                owner.open.wait(30)
                body = json.dumps({"keys": [owner.jwk(name, key) for name, key in owner.keys.items()]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        http.server.ThreadingHTTPServer.allow_reuse_address = True
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @staticmethod
    def jwk(name, key) -> dict:
        algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        return json.loads(algorithm.to_jwk(key.public_key())) | {"kid": name, "use": "sig"}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def key_sets():
    sets = KeySets()
    yield sets
    sets.stop()


def test_a_key_set_outlives_its_server(tmp_path, key_sets):
    key_sets.keys = {"one": EC, "two": RSA}
    server = Guarded(tmp_path / "data", "--tokens-jwks-url", f"http://127.0.0.1:{key_sets.port}/keys").start()
    try:
        def es(kid, user="alice"):
            return token(user, secret=private(EC), algorithm="ES256", headers={"kid": kid} if kid else None)

        assert may(server, es("one")) and may(server, es(None))
        assert may(server, token(secret=private(RSA), algorithm="RS256", headers={"kid": "two"}))
        assert may(server, token())  # the secret still counts
        # Each key is taken under its own name and for its own algorithm only.
        assert not may(server, token(secret=private(RSA), algorithm="RS256", headers={"kid": "one"}))
        asked = key_sets.asked
        for n in range(20):  # unknown names do not hammer the key set's server
            assert not may(server, es(f"unknown-{n}"))
        assert key_sets.asked - asked <= 1
        key_sets.stop()
        assert may(server, es("one")) and not may(server, es("unknown"))
        wait_until(lambda: not may(server, es("gone")), 5)
        assert server.request("GET", "/healthz").status_code == 200
    finally:
        server.stop()


def test_a_new_key_is_fetched_when_a_token_names_it(tmp_path, key_sets):
    key_sets.keys = {"old": RSA}
    server = Guarded(tmp_path / "data", "--tokens-jwks-url", f"http://127.0.0.1:{key_sets.port}/keys").start()
    try:
        wait_until(lambda: key_sets.asked == 1)
        shown = token(secret=private(EC), algorithm="ES256", headers={"kid": "new"})
        key_sets.keys = {"new": EC}
        assert not may(server, shown)  # asked a moment ago
        wait_until(lambda: may(server, shown), 15, "the new key")
        # What was taken out of the set is worth nothing any more.
        assert not may(server, token(secret=private(RSA), algorithm="RS256", headers={"kid": "old"}))
    finally:
        server.stop()


def test_without_a_key_set_yet_the_answer_says_to_come_back(tmp_path, key_sets):
    key_sets.keys = {"one": EC}
    key_sets.stop()
    server = Guarded(tmp_path / "data", "--tokens-jwks-url", f"http://127.0.0.1:{key_sets.port}/keys").start()
    shown = token(secret=private(EC), algorithm="ES256", headers={"kid": "one"})
    try:
        answer = server.request("GET", "/v1/poll", shown)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "keys_unavailable")
        assert "retry-after" in answer.headers
        key_sets.start()
        wait_until(lambda: may(server, shown), 15, "the key set")
    finally:
        server.stop()


# ------------------------------------------------------------ the end of a token, and its renewal


def soon(seconds: float, **claims) -> str:
    return token(exp=time.time() + seconds, **claims)



def sse(server, shown, device="a1"):
    return RawSSE(server, "alice", device, token=shown)


def test_a_session_ends_with_its_token(guarded):
    with sse(guarded, soon(1.5)) as stream:
        assert stream.welcome["expiresAt"] > time.time() * 1_000
        closed = stream.notice("close", 5)
        assert closed == {"code": 4002, "reason": "token expired", "reconnect": True}
        stream.wait_ended()
    socket = WebSocket(guarded, "alice", "a1", token=soon(1.5))
    assert socket.notice("close", 5)["code"] == 4002
    answer = guarded.request("GET", "/v1/poll?wait=20&device=a1", soon(1.5))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_expired")


def test_a_websocket_renews_its_token(guarded):
    with WebSocket(guarded, "alice", "a1", token=soon(2)) as socket:
        later = time.time() + 5
        socket.send({"token": token(exp=later, device="a1")})
        assert abs(socket.notice("renewed")["expiresAt"] - later * 1_000) < 2
        time.sleep(max(0, later - 3 + 0.6 - time.time()))  # past the end of the first
        assert not socket.ended.is_set()
        guarded.request("POST", "/v1/messages", guarded.key(), json={"to": {"user": "alice"}, "data": 7})
        assert socket.next()["data"] == 7
        assert socket.notice("close", 5)["code"] == 4002


@pytest.mark.parametrize("shown, code, close", [
    (lambda: token("bob"), "forbidden", 4501), (lambda: token(device="b2"), "forbidden", 4501),
    (lambda: token(secret="x" * 32), "unauthorized", 4501), (lambda: token(exp=time.time() - 5), "token_expired", 4002),
])
def test_a_websocket_renews_only_with_a_token_of_its_own(guarded, shown, code, close):
    socket = WebSocket(guarded, "alice", "a1", token=token())
    socket.send({"token": shown()})
    assert socket.notice("error")["code"] == code
    assert socket.notice("close")["code"] == close


def test_an_event_stream_is_renewed_by_a_request(guarded):
    with sse(guarded, soon(2)) as stream:
        path = f"/v1/sessions/{stream.welcome['session']}/token"
        assert guarded.request("POST", path, token("bob")).status_code == 404
        assert guarded.request("POST", path, token(device="b2")).status_code == 404
        assert guarded.request("POST", path, token(exp=time.time() - 1)).status_code == 401
        begin = time.time()
        assert guarded.request("POST", path, soon(4)).status_code == 204
        assert stream.notice("close", 6)["code"] == 4002
        assert time.time() - begin > 3.5
    assert guarded.request("POST", path, token()).status_code == 404


def test_the_first_frame_must_come_in_time_and_be_a_token(tmp_path):
    server = Guarded(tmp_path / "data", "--limits-head-seconds", "1").start()
    try:
        for frame, code, close in (({"ack": 1}, "unauthorized", 4501), ({"tokn": "x"}, "bad_request", 1008), (None, "request_timeout", 4000)):
            with server.websocket() as socket:
                if frame:
                    socket.send(json.dumps(frame))
                assert json.loads(socket.recv(5))["error"]["code"] == code
                with pytest.raises(websockets.exceptions.ConnectionClosed):
                    socket.recv(5)
                assert socket.close_code == close
        with server.websocket("?device=a1&window=3") as socket:
            socket.send(json.dumps({"token": token()}))
            welcome = json.loads(socket.recv(5))["welcome"]
            assert welcome["device"] == "a1" and welcome["window"]["messages"] == 3
        for bad in ("?window=x", "?devise=a"):
            assert server.websocket_status(bad)[:2] == (400, "bad_request")
    finally:
        server.stop()


# ------------------------------------------------------------ disconnect


def test_disconnect_ends_the_sessions_of_a_user(guarded):
    admin = guarded.key("--scope", "admin")
    streams = [sse(guarded, token(), f"a{n}") for n in range(3)]
    socket = WebSocket(guarded, "alice", "a9", token=token())
    other = RawSSE(guarded, "bob", "b1", token=token("bob"))
    answer = guarded.request("POST", "/v1/users/alice/disconnect", admin, json={"device": "a1"})
    assert answer.json() == {"sessions": 1}
    assert streams[1].notice("close") == {"code": 4502, "reason": "disconnected", "reconnect": False}
    answer = guarded.request("POST", "/v1/users/alice/disconnect", admin)
    assert answer.json() == {"sessions": 3}
    assert socket.notice("close")["code"] == 4502
    for stream in streams:
        stream.wait_ended()
    assert not other.ended.is_set()
    assert may(guarded, token())  # it may come back
    other.drop()


def test_revoked_tokens_stay_revoked_after_a_crash(guarded):
    admin = guarded.key("--scope", "admin")
    now = int(time.time())
    old, new, undated = token(iat=now - 100), token(iat=now - 10), token(iat=None)
    stream = sse(guarded, old)
    answer = guarded.request("POST", "/v1/users/alice/disconnect", admin, json={"revokeBefore": now - 50})
    assert answer.json() == {"sessions": 1}
    stream.wait_ended()
    for _ in range(2):
        assert not may(guarded, old) and not may(guarded, undated) and may(guarded, new)
        guarded.kill9()
        guarded.restart()
    # An earlier time takes nothing back; one device's does not touch the others.
    guarded.request("POST", "/v1/users/alice/disconnect", admin, json={"revokeBefore": now - 500})
    assert not may(guarded, old)
    guarded.request("POST", "/v1/users/alice/disconnect", admin, json={"revokeBefore": "now", "device": "lost"})
    assert not may(guarded, token(iat=now - 10, device="lost")) and may(guarded, token(iat=now - 10, device="a1"))


def test_a_revocation_is_of_nobody_who_looks_alike(guarded):
    admin = guarded.key("--scope", "admin")
    now = int(time.time())
    users = {"\u00e9": "%C3%A9", "e\u0301": "e%CC%81"}
    for name, path in users.items():
        assert guarded.request("POST", f"/v1/users/{path}/disconnect", admin, json={"revokeBefore": now - 50 * len(name)}).status_code == 200
    for _ in range(2):
        assert [may(guarded, token(sub=name, iat=now - 75)) for name in users] == [False, True]
        assert [may(guarded, token(sub=name, iat=now - 120)) for name in users] == [False, False]
        guarded.kill9()
        guarded.restart()


def test_disconnect_refuses_what_it_does_not_understand(guarded):
    admin = guarded.key("--scope", "admin")
    ahead = int(time.time())
    assert guarded.request("POST", "/v1/users/bob/disconnect", admin, json={"revokeBefore": ahead + 30}).status_code == 200
    for seconds in (120, 86_400 * 365, 90_000_000_000):
        answer = guarded.request("POST", "/v1/users/alice/disconnect", admin, json={"revokeBefore": ahead + seconds})
        assert (answer.status_code, answer.json()["error"]["limit"]) == (400, 60)
    assert may(guarded, token())  # nobody was locked out
    for body in ('{"revokeBefore":"later"}', '{"revokeBefore":-1}', '{"revokeBefor":1}', "[]", '{"device":""}', "{"):
        answer = guarded.request("POST", "/v1/users/alice/disconnect", admin, content=body)
        assert answer.status_code == 400, body
    assert guarded.request("GET", "/v1/users/alice/disconnect", admin).status_code == 405
    for user in ("a%00b", "x" * 257):
        assert guarded.request("POST", f"/v1/users/{user}/disconnect", admin).status_code == 400
    # Percent-encoded names are the names.
    stream = RawSSE(guarded, "a/b c", "d", token=token("a/b c"))
    assert guarded.request("POST", "/v1/users/a%2Fb%20c/disconnect", admin).json() == {"sessions": 1}
    stream.wait_ended()


def test_martlet_token_knows_what_the_configured_server_wants(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    config = tmp_path / "martlet.yaml"
    config.write_text(f"data: {tmp_path / 'data'}\ntokens:\n  secretFile: {secret}\n  issuer: https://id.example\n  audience: push\n")
    made = martlet("token", "--user", "alice", "--config", str(config))
    assert made.returncode == 0, made.stderr
    claims = jwt.decode(made.stdout.strip(), SECRET, algorithms=["HS256"], audience="push", issuer="https://id.example")
    assert claims["sub"] == "alice"
    failed = martlet("token", "--user", "alice", "--config", str(tmp_path / "nosuch.yaml"))
    assert failed.returncode == 1 and "nosuch" in failed.stderr


def test_who_has_not_said_its_name_does_not_hold_up_a_restart(tmp_path):
    server = Guarded(tmp_path / "data", "--drain-seconds", "8", "--limits-head-seconds", "60").start()
    with server.websocket() as socket:
        socket.send(json.dumps({"ping": 1}))
        assert json.loads(socket.recv(5)) == {"pong": 1}
        begin = time.monotonic()
        server.terminate()
        assert json.loads(socket.recv(5))["error"]["code"] == "draining"
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            socket.recv(5)
        assert socket.close_code == 1012
    assert server.wait(10) == 0
    assert time.monotonic() - begin < 5

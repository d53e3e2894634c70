"""Who may do what: every credential times every endpoint and transport."""

import base64
import json
import time
from dataclasses import dataclass, field

import pytest
import websockets.exceptions

from access import ACME_SECRET, Guarded, bearer, token
from server import wait_until

FOREIGN = "https://evil.example"


@dataclass
class World:
    """A server with one message for alice, and everything that can be shown to it."""

    server: Guarded
    message: str = ""
    cursor: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    server = Guarded(tmp_path_factory.mktemp("table") / "data").start()
    world = World(server)
    every = ("--scope", "publish,read,admin")
    keys = world.keys
    keys["good"] = server.key(*every)
    keys["other app"] = server.key("--app", "acme", *every)
    keys["publish only"] = server.key("--scope", "publish")
    keys["read only"] = server.key("--scope", "read")
    keys["admin only"] = server.key("--scope", "admin")
    keys["expired"] = server.key(*every, "--expires", "1s")
    keys["revoked"] = server.key(*every)
    server.revoke(keys["revoked"])
    keys["wrong secret"] = keys["good"].rsplit("_", 1)[0] + "_" + "A" * 43
    keys["unknown"] = "mk_abcdefghijkm_" + "A" * 43
    keys["garbage"] = "hunter2"
    keys["a token"] = token("alice")

    now = int(time.time())
    tokens = world.tokens
    tokens["good"] = token()
    tokens["good, device pinned"] = token(device="a1")
    tokens["garbage"] = "hunter2"
    tokens["other device"] = token(device="b7")
    tokens["other user"] = token("bob")
    tokens["expired"] = token(iat=now - 60, exp=now - 1)
    tokens["not yet valid"] = token(nbf=now + 600)
    tokens["from the future"] = token(iat=now + 600)
    tokens["wrong signature"] = token(secret="x" * 32)
    tokens["altered"] = altered(token("bob"), sub="alice")
    tokens["alg none"] = unsigned()
    tokens["alg HS512"] = token(secret="x" * 64, algorithm="HS512")
    tokens["wrong app"] = token(app="acme")
    tokens["unknown app"] = token(app="nobody")
    tokens["no user"] = token(None)
    tokens["user is no name"] = token("a\nb")
    tokens["an audience"] = token(aud="elsewhere")
    tokens["crit"] = token(headers={"crit": ["x"], "x": 1})
    tokens["too long"] = token(pad="x" * 8_192)
    tokens["revoked"] = token("mallory", iat=now - 60)
    tokens["revoked, no iat"] = token("mallory", iat=None)
    tokens["an API key"] = keys["good"]

    # Keys take effect within a second.
    wait_until(lambda: server.request("GET", "/v1/messages/00000000-0000-7000-8000-000000000000", keys["revoked"]).status_code == 401 and server.request("GET", "/v1/messages/00000000-0000-7000-8000-000000000000", keys["good"]).status_code == 404)
    answer = server.request("POST", "/v1/users/mallory/disconnect", keys["good"], json={"revokeBefore": "now"})
    assert answer.json() == {"sessions": 0}
    answer = server.request("POST", "/v1/messages", keys["good"], json={"to": {"user": "alice"}, "data": 1})
    world.message = answer.json()["id"]
    world.cursor = server.request("GET", "/v1/poll?device=ack", tokens["good"]).json()["cursor"]
    wait_until(lambda: server.request("GET", f"/v1/messages/{world.message}", keys["expired"]).status_code == 401)
    yield world
    assert server.process.poll() is None, server.tail()
    server.stop()


def altered(text: str, **claims) -> str:
    head, payload, signature = text.split(".")
    values = json.loads(base64.urlsafe_b64decode(payload + "==")) | claims
    return ".".join([head, base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("="), signature])


def unsigned() -> str:
    parts = [{"alg": "none"}, {"sub": "alice", "exp": int(time.time()) + 600}]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


# ------------------------------------------------------------ API keys

ONE = {"json": {"to": {"user": "alice"}, "data": 1}}
BATCH = {"content": '{"to":{"user":"alice"}}\n', "headers": {"Content-Type": "application/x-ndjson"}}
# name: method, path, options, needed scope, status when it may, status for a key of another app
KEY_ENDPOINTS = {
    "publish": ("POST", "/v1/messages", ONE, "publish", 202, 202),
    "batch": ("POST", "/v1/messages", BATCH, "publish", 202, 202),
    "status": ("GET", "/v1/messages/{id}", {}, "read", 200, 404),
    "status, long": ("GET", "/v1/messages/{id}?wait=1", {"headers": {"If-None-Match": '"x"'}}, "read", 200, 404),
    "status, head": ("HEAD", "/v1/messages/{id}", {}, "read", 200, 404),
    "recall": ("DELETE", "/v1/messages/{id}", {}, "publish", 200, 404),
    "metrics": ("GET", "/metrics", {}, "read", 200, 200),
    "disconnect": ("POST", "/v1/users/nobody/disconnect", {}, "admin", 200, 200),
    "namespaces": ("GET", "/v1/namespaces", {}, "admin", 200, 200),
    "namespace": ("GET", "/v1/namespaces/chat", {}, "admin", 200, 200),
    "set namespace": ("PUT", "/v1/namespaces/chat", {"json": {"presence": True}}, "admin", 200, 200),
}
KEY_ROWS = [
    None, "good", "other app", "publish only", "read only", "admin only", "expired", "revoked", "wrong secret", "unknown", "garbage",
    "a token",
]


def expected_of_key(row: str | None, scope: str, good: int, other: int) -> tuple[int, str | None]:
    if row == "good":
        return good, None
    if row == "other app":
        return other, None if other < 400 else "not_found"
    if row is not None and row.endswith(" only"):
        return (good, None) if row.startswith(scope) else (403, "forbidden")
    return 401, "unauthorized"


@pytest.mark.parametrize("how", ["authorization", "x-api-key"])
@pytest.mark.parametrize("endpoint", KEY_ENDPOINTS)
@pytest.mark.parametrize("row", KEY_ROWS, ids=str)
def test_key(world, row, endpoint, how):
    method, path, options, scope, good, other = KEY_ENDPOINTS[endpoint]
    headers = options.get("headers", {})
    if row is not None:
        headers = headers | (bearer(world.keys[row]) if how == "authorization" else {"X-API-Key": world.keys[row]})
    answer = world.server.http.request(method, world.server.url + path.format(id=world.message), **options | {"headers": headers})
    code = answer.json()["error"]["code"] if answer.status_code >= 400 and method != "HEAD" else None
    status, wanted = expected_of_key(row, scope, good, other)
    assert (answer.status_code, code) == (status, None if method == "HEAD" else wanted), answer.text
    assert (answer.status_code == 401) == ("www-authenticate" in answer.headers)


@pytest.mark.parametrize("endpoint", KEY_ENDPOINTS)
def test_a_key_in_the_query_is_no_key(world, endpoint):
    method, path, options, *_ = KEY_ENDPOINTS[endpoint]
    path = path.format(id=world.message)
    for name in ("key", "token", "api_key"):
        separator = "&" if "?" in path else "?"
        answer = world.server.http.request(method, f"{world.server.url}{path}{separator}{name}={world.keys['good']}", **options)
        assert answer.status_code == 401


@pytest.mark.parametrize("endpoint", KEY_ENDPOINTS)
def test_a_page_of_elsewhere_gets_no_cors(world, endpoint):
    method, path, options, _, good, _ = KEY_ENDPOINTS[endpoint]
    headers = options.get("headers", {}) | bearer(world.keys["good"]) | {"Origin": FOREIGN}
    answer = world.server.http.request(method, world.server.url + path.format(id=world.message), **options | {"headers": headers})
    assert answer.status_code == good
    assert not [name for name in answer.headers if name.startswith("access-control-")]


# ------------------------------------------------------------ client tokens

# name: method, path, status when it may, whether the device must be named
CLIENT_ENDPOINTS = {
    "sse": ("GET", "/v1/sse?device={device}", 200),
    "stream": ("GET", "/v1/stream?device={device}", 200),
    "exchange": ("POST", "/v1/exchange?device={device}", 200),
    "websocket": ("WS", "?device={device}", 101),
    "poll": ("GET", "/v1/poll?device={device}", 200),
    "long poll": ("GET", "/v1/poll?device={device}&wait=1", 200),
    "ramen": ("GET", "/ramen/receive?seq=0&device={device}", 200),
    "ack": ("POST", "/v1/ack?device={device}", 204),
    "ramen ack": ("GET", "/ramen/ack?seq=0&device={device}", 204),
    "session token": ("POST", "/v1/sessions/nosuch/token?device={device}", 404),
}
TOKEN_ROWS = [
    None, "good", "good, device pinned", "garbage", "other device", "other user", "expired", "not yet valid", "from the future",
    "wrong signature", "altered", "alg none", "alg HS512", "wrong app", "unknown app", "no user", "user is no name", "an audience", "crit",
    "too long", "revoked", "revoked, no iat", "an API key",
]


def expected_of_token(row: str | None, endpoint: str, good: int) -> tuple[int, str | None]:
    if row in ("good", "good, device pinned"):
        return good, "session_unknown" if good == 404 else None
    if row in ("other device", "other user"):
        return 403, "forbidden"
    return 401, "token_expired" if row == "expired" else "unauthorized"


@pytest.mark.parametrize("how", ["authorization", "query", "cookie"])
@pytest.mark.parametrize("endpoint", CLIENT_ENDPOINTS)
@pytest.mark.parametrize("row", TOKEN_ROWS, ids=str)
def test_token(world, row, endpoint, how):
    method, path, good = CLIENT_ENDPOINTS[endpoint]
    path = path.format(device="a1") + "&user=" + ("mallory" if row and row.startswith("revoked") else "alice")
    headers, options = {}, {}
    status, wanted = expected_of_token(row, endpoint, good)
    if row is not None:
        shown = world.tokens[row]
        if how == "authorization":
            headers = bearer(shown)
        elif how == "cookie":
            headers = {"Cookie": f"other=1; martlet_token={shown}"}
        else:
            path += f"&token={shown}"
            if endpoint == "session token" and row.startswith("good"):
                status, wanted = 400, "bad_request"  # it has no business in a URL here
    if endpoint == "ack":
        options["json"] = {"cursor": world.cursor}
        path = path.replace("device=a1", "device=ack") if row == "good" else path
        if row == "good, device pinned":
            options["json"] = {"cursor": world.server.request("GET", "/v1/poll", world.tokens[row]).json()["cursor"]}
    if method == "WS":
        if row is None:
            pytest.skip("the first frame may still bring one: see below")
        got, code, _ = world.server.websocket_status(path, headers)
    else:
        got, code, fields = world.server.status_of(method, path, headers=headers, **options)
        assert (got == 401) == ("www-authenticate" in fields)
    assert (got, code) == (status, wanted)


@pytest.mark.parametrize("row", TOKEN_ROWS[1:], ids=str)
def test_token_in_the_first_frame(world, row):
    user = "mallory" if row.startswith("revoked") else "alice"
    status, wanted = expected_of_token(row, "websocket", 101)
    with world.server.websocket(f"?device=a1&user={user}") as socket:
        socket.send(json.dumps({"token": world.tokens[row]}))
        first = json.loads(socket.recv(5))
        if status == 101:
            assert first["welcome"]["user"] == "alice" and first["welcome"]["device"] == "a1"
            return
        assert first["error"]["code"] == wanted
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            socket.recv(5)
    assert socket.close_code == (4002 if row == "expired" else 4501)


@pytest.mark.parametrize("how", ["authorization", "query", "cookie"])
@pytest.mark.parametrize("endpoint", CLIENT_ENDPOINTS)
def test_a_page_of_elsewhere(world, endpoint, how):
    """It opens no WebSocket, uses no cookie, and reads no answer."""
    method, path, good = CLIENT_ENDPOINTS[endpoint]
    path = path.format(device="a1")
    shown = world.tokens["good"]
    headers = {"authorization": bearer(shown), "query": {}, "cookie": {"Cookie": f"martlet_token={shown}"}}[how]
    path += f"&token={shown}" if how == "query" else ""
    if method == "WS":
        assert world.server.websocket_status(path, headers, FOREIGN)[:2] == (403, "forbidden")
        return
    options = {"json": {"cursor": world.cursor}} if endpoint == "ack" else {}
    if endpoint == "ack":
        path = path.replace("device=a1", "device=ack")
    status, _, fields = world.server.status_of(method, path, headers=headers | {"Origin": FOREIGN}, **options)
    if how == "cookie":
        assert status == 403
    else:
        assert status == (400 if (endpoint, how) == ("session token", "query") else good)
    assert not [name for name in fields if name.startswith("access-control-")]


def test_a_session_names_no_app_but_its_own(world):
    """The same user and device names in two apps are strangers."""
    mine, theirs = token("carol", device="c1"), token("carol", secret=ACME_SECRET, app="acme", device="c1")
    server = world.server
    for shown in (mine, theirs):
        assert server.request("GET", "/v1/poll", shown).status_code == 200
    answer = server.request("POST", "/v1/messages", world.keys["other app"], json={"to": {"user": "carol"}, "data": "acme"})
    assert answer.status_code == 202
    answer = server.request("POST", "/v1/messages", world.keys["other app"], json={"to": {"all": True}, "data": "all of acme"})
    assert answer.status_code == 202
    assert server.request("GET", "/v1/poll", mine).json()["messages"] == []
    assert {message["data"] for message in server.request("GET", "/v1/poll", theirs).json()["messages"]} == {"acme", "all of acme"}


def test_another_user_acks_nothing_on_a_live_session(world):
    """Its token leaves the device open, so that it can name any: what is live is another's."""
    server = world.server
    with server.websocket("", bearer(token("dave", device="d1"))) as socket:
        welcome = json.loads(socket.recv(5))["welcome"]
        server.request("POST", "/v1/messages", world.keys["good"], json={"to": {"user": "dave"}, "data": 1})
        message = json.loads(socket.recv(5))["message"]
        bodies = ({"cursor": message["cursor"]}, {"session": welcome["session"], "ack": message["seq"]})
        for body in bodies:
            answer = server.request("POST", "/v1/ack?device=d1", token("eve"), json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert server.request("POST", "/v1/ack", token("dave", device="d1"), json=bodies[1]).status_code == 204

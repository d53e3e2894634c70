"""Pages of other origins: who may open a WebSocket, who may read answers (CORS)."""

import http.server
import threading

import pytest

from access import Guarded, bearer, token
from server import ROOT

LISTED = "https://app.example"
FOREIGN = "https://evil.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Guarded(tmp_path_factory.mktemp("origins") / "data", "--origins", f"{LISTED},http://other.example:8443").start()
    server.good_key = server.key()
    yield server
    server.stop()


def browser(hub) -> Guarded:
    """The helpers of `Guarded` for the shared server of dev mode."""
    guarded = Guarded.__new__(Guarded)
    guarded.port = hub.port
    return guarded


def cors(fields) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name.lower().startswith("access-control-")}


@pytest.mark.parametrize("origin, may", [
    (None, True), (LISTED, True), ("HTTPS://APP.example", True), ("https://app.example:443", True), ("http://other.example:8443", True),
    ("http://127.0.0.1:{port}", True), ("http://127.0.0.1:1", False), (FOREIGN, False), ("null", False), ("http://app.example", False),
    ("https://app.example.evil.example", False), ("https://evilapp.example", False), ("https://app.example:444", False), ("", False),
])
def test_who_may_open_a_websocket(server, origin, may):
    origin = origin and origin.format(port=server.port)
    got = server.websocket_status("?device=a1", bearer(token()) | ({} if origin is None else {"Origin": origin}))
    assert got[:2] == ((101, None) if may else (403, "forbidden"))


@pytest.mark.parametrize("method, path, status", [
    ("POST", "/v1/messages", 202), ("GET", "/v1/messages/nosuch", 404), ("GET", "/v1/sse", 200), ("GET", "/ramen/receive?seq=0&device=r", 200),
    ("GET", "/v1/poll", 200), ("GET", "/nosuch", 404),
    ("GET", "/v1/stream", 200), ("GET", "/v1/stream?format=multipart", 200), ("GET", "/v1/stream?format=iframe&callback=a", 200),
    ("GET", "/v1/stream?format=iframe&callback=a&window=x", 400), ("GET", "/v1/poll?callback=a", 200), ("GET", "/v1/poll?callback=a&wait=x", 200),
    ("POST", "/v1/exchange", 200), ("POST", "/v1/exchange?x=1", 400), ("GET", "/v1/topics/a", 403), ("GET", "/openapi.yaml", 200),
    ("POST", "/v1/sessions/x/token", 404), ("POST", "/v1/ack?device=d", 400), ("GET", "/v1/messages", 405), ("GET", "/v1/sse?window=x", 400), ("GET", "/v1/ws", 426),
])
def test_listed_pages_may_read_every_answer(server, method, path, status):
    shown = bearer(server.good_key if "messages" in path else token())
    options = {"json": {"to": {"user": "alice"}} if "messages" in path else {}} if method == "POST" else {}
    with server.http.stream(method, server.url + path, headers=shown | {"Origin": LISTED}, **options) as answer:
        assert answer.status_code == status
        assert cors(answer.headers) == {
            "access-control-allow-origin": LISTED, "access-control-allow-credentials": "true",
            "access-control-expose-headers": "ETag, Idempotent-Replayed, Martlet-Error, Martlet-Exchange, Martlet-Pending, Retry-After",
        }
        assert set(answer.headers["vary"].split(", ")) == {"Origin"}
    with server.http.stream(method, server.url + path, headers=shown | {"Origin": FOREIGN}, **options) as answer:
        assert (answer.status_code, cors(answer.headers)) == (status, {})
        assert set(answer.headers["vary"].split(", ")) == {"Origin"}


def test_a_refusal_can_be_read_too(server):
    answer = server.get("/v1/sse", headers={"Origin": LISTED})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == LISTED


def table() -> dict[str, list[str]]:
    """The rows of docs/protocol.md by who asks, without emphasis."""
    text = (ROOT / "docs" / "protocol.md").read_text().split("| who asks |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    return {row[0]: row[1:] for row in rows}


OWN, ONE, ANY, OTHER = "no `Origin`, or the server's own", "a listed page", 'any other, with `origins: "*"`', "any other"


@pytest.mark.parametrize("who, all_origins, origin", [
    (OWN, False, None), (OWN, False, "{own}"), (OWN, True, "{own}"), (ONE, False, LISTED), (ANY, True, FOREIGN), (OTHER, False, FOREIGN), (OTHER, False, "null"),
])
def test_the_table_of_the_protocol(server, open_server, who, all_origins, origin):
    """Each row, on an answer, a refusal, a stream and a preflight, and with a cookie."""
    hub = open_server if all_origins else server
    fields = {} if origin is None else {"Origin": origin.format(own=hub.url)}
    said, vary, preflight, cookie = table()[who]
    expected = {}
    if "Allow-Origin: *" in said:
        expected["access-control-allow-origin"] = "*"
    if "ITS-ORIGIN" in said:
        expected |= {"access-control-allow-origin": LISTED, "access-control-allow-credentials": "true"}
    if "Expose-Headers" in said:
        expected["access-control-expose-headers"] = "ETag, Idempotent-Replayed, Martlet-Error, Martlet-Exchange, Martlet-Pending, Retry-After"
    for path, shown in (("/v1/poll", bearer(token())), ("/v1/poll", {}), ("/v1/sse", bearer(token())), ("/v1/stream", bearer(token()))):
        with hub.http.stream("GET", hub.url + path, headers=fields | shown) as answer:
            assert cors(answer.headers) == expected, path
            assert answer.headers.get("vary") == ("Origin" if "Origin" in vary and origin else None), path
    ask = fields | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    assert hub.http.options(hub.url + "/v1/exchange", headers=ask).status_code == int(preflight.strip("`"))
    shown = {"Cookie": f"martlet_token={token()}"}
    assert hub.get("/v1/poll", headers=fields | shown).status_code == (200 if cookie == "counts" else int(cookie.strip("`")))


@pytest.fixture(scope="module")
def open_server(tmp_path_factory):
    server = Guarded(tmp_path_factory.mktemp("open") / "data", "--origins", "*").start()
    yield server
    server.stop()


def test_only_named_pages_are_let_into_a_private_network(server, open_server):
    ask = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true"}
    name = "access-control-allow-private-network"
    assert server.http.options(server.url + "/v1/sse", headers=ask | {"Origin": LISTED}).headers[name] == "true"
    without = {"Access-Control-Request-Method": "GET", "Origin": LISTED}
    assert name not in server.http.options(server.url + "/v1/sse", headers=without).headers
    for hub in (server, open_server):
        assert name not in hub.http.options(hub.url + "/v1/sse", headers=ask | {"Origin": FOREIGN}).headers


def test_a_page_elsewhere_by_a_real_browser(hub, page, user):
    """From another port of this machine, which dev mode lists: preflights, exposed fields, a stream that is read while it grows."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, *_):
            pass

    elsewhere = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    try:
        page.goto(f"http://127.0.0.1:{elsewhere.server_port}/")
        who = f"user={user}&device={user}-d1"
        value = page.evaluate(
            """async ([url, who, user]) => {
                const json = {"content-type": "application/json", "idempotency-key": user};
                const body = JSON.stringify({to: {user}, data: 1});
                await fetch(url + "/v1/messages", {method: "POST", headers: json, body});
                const again = await fetch(url + "/v1/messages", {method: "POST", headers: json, body});
                const exchanged = await fetch(url + "/v1/exchange?" + who, {method: "POST", headers: json, body: "{}"});
                const polled = await fetch(url + "/v1/poll?" + who, {headers: {"if-none-match": '"x"'}, credentials: "include"});
                const stream = (await fetch(url + "/v1/stream?" + who)).body.getReader();
                const first = new TextDecoder().decode((await stream.read()).value);
                await stream.cancel();
                return [again.headers.get("idempotent-replayed"), (await exchanged.json()).messages.length, polled.headers.get("etag").length > 2, first];
            }""", [hub.url, who, user])
        assert value[:3] == ["true", 1, True] and value[3].startswith('{"welcome":')
    finally:
        elsewhere.shutdown()
        elsewhere.server_close()


@pytest.mark.parametrize("path", [
    "/v1/messages", "/v1/ack", "/v1/poll", "/v1/sse", "/v1/stream", "/v1/exchange", "/v1/topics/a", "/v1/users/a/disconnect", "/v1/sessions/x/token",
])
def test_preflight(server, path):
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = server.http.options(server.url + path, headers=ask | {"Origin": LISTED})
    assert (answer.status_code, answer.content) == (204, b"")
    fields = cors(answer.headers)
    assert fields["access-control-allow-origin"] == LISTED and fields["access-control-max-age"] == "7200"
    assert "POST" in fields["access-control-allow-methods"] and "DELETE" in fields["access-control-allow-methods"]
    allowed = fields["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "idempotency-key", "last-event-id", "x-api-key"} <= set(allowed)
    answer = server.http.options(server.url + path, headers=ask | {"Origin": FOREIGN})
    assert (answer.status_code, cors(answer.headers)) == (403, {})


def test_the_cookie_is_for_own_and_listed_pages(server):
    cookie = {"Cookie": f"martlet_token={token()}"}
    for origin, may in ((None, True), (LISTED, True), (server.url, True), (FOREIGN, False)):
        headers = cookie | ({} if origin is None else {"Origin": origin})
        assert server.get("/v1/poll", headers=headers).status_code == (200 if may else 403), origin
        assert server.websocket_status("", headers)[0] == (101 if may else 403), origin


@pytest.mark.parametrize("site, origin, method, may", [
    ("same-origin", None, "GET", True), ("same-origin", "{own}", "GET", True), ("same-origin", "{own}", "POST", True),
    ("none", None, "GET", True), ("none", None, "POST", False),
    ("cross-site", None, "GET", False), ("cross-site", "{own}", "GET", False), ("cross-site", FOREIGN, "GET", False),
    ("cross-site", "null", "GET", False), ("cross-site", LISTED, "GET", True), ("cross-site", LISTED, "POST", True),
    ("same-site", None, "GET", False), ("same-site", FOREIGN, "GET", False), ("same-site", LISTED, "GET", True), ("new-word", None, "GET", False),
])
def test_what_the_browser_says_of_the_page_counts_for_the_cookie(server, site, origin, method, may):
    """`Sec-Fetch-Site` tells of images, frames and links, which have no `Origin`. A token that is shown is nobody else's doing."""
    fields = {"Sec-Fetch-Site": site} | ({} if origin is None else {"Origin": origin.format(own=server.url)})
    cookie = {"Cookie": f"martlet_token={token()}"}
    path, options = ("/v1/ack?device=c", {"json": {"cursor": "x"}}) if method == "POST" else ("/v1/poll?device=c", {})
    allowed = 400 if method == "POST" else 200
    assert server.http.request(method, server.url + path, headers=fields | cookie, **options).status_code == (allowed if may else 403)
    assert server.http.request(method, server.url + path, headers=fields | bearer(token()), **options).status_code == allowed


def test_an_image_elsewhere_acks_nothing(server):
    cookie = {"Cookie": f"martlet_token={token()}"}
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    assert server.get("/ramen/ack?seq=3&device=r", headers=cookie | image).status_code == 403
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert server.get("/v1/poll?device=r", headers=cookie | link).status_code == 403


@pytest.mark.parametrize("field, value", [("Origin", LISTED), ("Authorization", "Bearer x")])
def test_two_of_a_field_that_decides_are_refused(server, field, value):
    for path in ("/v1/poll", "/healthz", "/v1/ws"):
        answer = server.http.get(server.url + path, headers=[(field, value), (field, value)])
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_everybody(tmp_path):
    """`*` opens all but the cookie, which the browser would send for any page."""
    server = Guarded(tmp_path / "data", "--origins", "*").start()
    try:
        answer = server.get("/v1/poll", headers=bearer(token()) | {"Origin": FOREIGN})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        assert server.websocket_status("", bearer(token()), FOREIGN)[0] == 101
        cookie = {"Cookie": f"martlet_token={token()}", "Origin": FOREIGN}
        assert server.get("/v1/poll", headers=cookie).status_code == 403
        assert server.websocket_status("", cookie)[0] == 403
    finally:
        server.stop()


@pytest.mark.parametrize("origin, may", [
    ("http://localhost:3000", True), ("http://127.0.0.1:5173", True), ("http://[::1]:3000", True), ("https://app.localhost", True),
    (FOREIGN, False), ("null", False), ("http://localhost.evil.example", False), ("http://127.0.0.1.evil.example", False),
    ("http://rebound.example:{port}", False),
])
def test_dev_mode_is_for_pages_of_this_machine(hub, origin, may):
    origin = origin.format(port=hub.port)
    # A name of somebody's own that points here does not make it this machine's page.
    headers = {"Origin": origin, "Host": origin.split("//")[-1]}
    body = {"to": {"user": "origins"}}
    assert hub.http.post(hub.url + "/v1/messages", json=body, headers=headers).status_code == (202 if may else 403)
    answer = hub.get("/v1/poll?user=origins", headers=headers)
    assert answer.status_code == (200 if may else 403)
    assert ("access-control-allow-origin" in answer.headers) == may
    assert browser(hub).websocket_status("?user=origins", {"Origin": origin})[0] == (101 if may else 403)

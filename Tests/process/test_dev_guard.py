"""Dev mode asks for no credentials: what keeps web pages of elsewhere from it, by the `Host` and by what browsers say of a request."""

import http.server
import ipaddress
import json
import random
import re
import threading

import pytest
from playwright.sync_api import sync_playwright

from access import Guarded, bearer, token
from chromium import CHROMIUM
from metrics import numbers
from server import Server
from wire import Wire, handshake, request

EVIL = "evil.example"


def publish(path: str, *headers: str, user: str = "guarded") -> bytes:
    body = json.dumps({"to": {"user": user}, "data": 1})
    return request("POST", path, f"Content-Length: {len(body)}", *headers, body=body)


def get(path: str, *headers: str) -> bytes:
    return request("GET", path, *headers)


def post(path: str, *headers: str) -> bytes:
    return request("POST", path, "Content-Length: 2", *headers, body="{}")


# Every kind of endpoint: what makes its request, and what it answers to this machine.
ENDPOINTS = {
    "publish": (lambda *h: publish("/v1/messages", *h), 202),
    "batch": (lambda *h: publish("/v1/messages", "Content-Type: application/x-ndjson", *h), 202),
    "status": (lambda *h: get("/v1/messages/nosuch", *h), 404),
    "recall": (lambda *h: request("DELETE", "/v1/messages/nosuch", *h), 404),
    "disconnect": (lambda *h: post("/v1/users/guarded/disconnect", *h), 200),
    "renew": (lambda *h: post("/v1/sessions/nosuch/token", *h), 401),
    "sse": (lambda *h: get("/v1/sse?user=guarded", *h), 200),
    "ramen": (lambda *h: get("/ramen/receive?seq=0&user=guarded&device=ramen", *h), 200),
    "ramen ack": (lambda *h: get("/ramen/ack?seq=0&user=guarded&device=ramen", *h), 204),
    "websocket": (lambda *h: handshake("/v1/ws?user=guarded", *h), 101),
    "websocket without an upgrade": (lambda *h: get("/v1/ws?user=guarded", *h), 426),
    "echo": (lambda *h: handshake("/dev/echo", *h), 101),
    "poll": (lambda *h: get("/v1/poll?user=guarded", *h), 200),
    "ack": (lambda *h: post("/v1/ack?user=guarded&device=d", *h), 400),
    "page": (lambda *h: get("/", *h), 200),
    "head of the page": (lambda *h: request("HEAD", "/", *h), 200),
    "healthz": (lambda *h: get("/healthz", *h), 200),
    "readyz": (lambda *h: get("/readyz", *h), 200),
    "metrics": (lambda *h: get("/metrics", *h), 200),
    "openapi": (lambda *h: get("/openapi.yaml", *h), 200),
    "script": (lambda *h: get("/martlet.js", *h), 200),
    "nothing": (lambda *h: get("/nosuch", *h), 404),
    "preflight": (lambda *h: request("OPTIONS", "/v1/messages", "Access-Control-Request-Method: POST", *h), 204),
    "a method of nobody": (lambda *h: request("PURGE", "/v1/messages", *h), 405),
}


def named(host: str, sent: bytes) -> bytes:
    return sent.replace(b"Host: localhost", b"Host: " + host.encode("latin-1"))


def status(server: Server, sent: bytes) -> int:
    with Wire(server) as wire:
        return wire.send(sent).head().status


def refused(server: Server, sent: bytes) -> str:
    """Expects the refusal, and the connection's end after it; returns the message."""
    with Wire(server) as wire:
        head = wire.send(sent).head()
        assert head.status == 403, head
        assert head.headers["connection"] == "close"
        body = wire.to_end()
    if sent.startswith(b"HEAD "):
        assert body == b""
        return ""
    error = json.loads(body)["error"]
    assert error["code"] == "forbidden" and set(error) == {"code", "message"}
    return error["message"]


# ------------------------------------------------------------ Host


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_name_of_somebody_elses_is_refused_everywhere(hub, name):
    make, usual = ENDPOINTS[name]
    for host in ("localhost", "LOCALHOST:1", "app.localhost.:80", "127.9.8.7", "[::1]:8080"):
        assert status(hub, named(host, make())) == usual, host
    for host in (EVIL, f"{EVIL}:{hub.port}", f"localhost.{EVIL}", f"127.0.0.1.{EVIL}", "localhost@" + EVIL, "0.0.0.0", ""):
        message = refused(hub, named(host, make()))
        assert not message or "use one of these in the URL, or run without --dev" in message, host
        # Whatever the browser says of it: to a browser a rebound name is the page's own.
        refused(hub, named(host, make("Sec-Fetch-Site: same-origin", f"Origin: http://{EVIL}")))


def test_a_refused_publish_was_not_done(hub, user):
    refused(hub, named(EVIL, publish("/v1/messages", user=user)))
    refused(hub, publish("/v1/messages", "Sec-Fetch-Site: cross-site", user=user))
    assert status(hub, publish("/v1/messages", user=user)) == 202
    answer = hub.get("/v1/poll", params={"user": user, "device": f"{user}-d"})
    assert len(answer.json()["messages"]) == 1


def test_nothing_is_asked_of_a_body_that_will_be_refused(hub):
    with Wire(hub) as wire:
        wire.send(named(EVIL, request("POST", "/v1/messages", "Expect: 100-continue", "Content-Length: 60000")))
        assert wire.head().status == 403


def test_the_second_request_of_a_connection_is_asked_too(hub):
    with Wire(hub) as wire:
        assert wire.send(get("/healthz")).answer()[0] == 200
        assert wire.send(named(EVIL, get("/healthz"))).answer()[0] == 403
    with Wire(hub) as wire:
        wire.send(named(EVIL, get("/healthz")), publish("/v1/messages"))
        assert wire.to_end().count(b"HTTP/1.1 ") == 1


def test_two_hosts_are_no_request(hub):
    for pair in (("localhost", EVIL), (EVIL, "localhost"), ("localhost", "localhost")):
        assert status(hub, get("/healthz").replace(b"Host: localhost", "Host: {}\r\nHost: {}".format(*pair).encode())) == 400
    assert status(hub, get("/healthz").replace(b"Host: localhost\r\n", b"")) == 400
    refused(hub, named(f"localhost, {EVIL}", get("/healthz")))


@pytest.mark.parametrize("target, may", [
    ("http://localhost", True), ("http://127.0.0.1:80", True), ("https://[::1]", True), (f"http://{EVIL}", False),
    (f"http://{EVIL}:80", False), (f"http://localhost@{EVIL}", False), ("http://", False), (f"https://{EVIL}?", False), (f"ftp://{EVIL}", False),
])
def test_the_name_in_the_target_counts_as_well(hub, target, may):
    for path in ("/healthz", "/v1/messages"):
        sent = (get if path == "/healthz" else publish)(path).replace(path.encode(), target.encode() + path.encode(), 1)
        got = status(hub, sent)
        assert got in (200, 202) if may else got in (400, 403), sent
    assert status(hub, named(EVIL, get("http://localhost/healthz"))) == 403


def test_http_1_0_without_a_host_is_for_this_machine(hub):
    old = get("/healthz").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert status(hub, old) == 200
    assert status(hub, old.replace(b"Host: localhost\r\n", b"")) == 200
    assert status(hub, named(EVIL, old)) == 403


def test_http_1_0_without_a_host_is_not_for_who_comes_through_a_proxy(tmp_path):
    server = Server(tmp_path / "data", "--trusted-proxies", "127.0.0.0/8", "--proxy-protocol").start()
    old = b"GET /healthz HTTP/1.0\r\n\r\n"
    try:
        for line, got in (
            (b"UNKNOWN", 200), (b"TCP4 127.0.0.9 127.0.0.1 1 2", 200), (b"TCP6 ::1 ::1 1 2", 200),
            (b"TCP4 203.0.113.9 127.0.0.1 1 2", 403), (b"TCP6 2001:db8::1 ::1 1 2", 403),
        ):
            assert status(server, b"PROXY " + line + b"\r\n" + old) == got, line
        assert status(server, b"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n" + get("/healthz")) == 200
    finally:
        server.stop()


def is_loopback(host: str) -> bool:
    """The rule once more, in other words."""
    if bracketed := re.fullmatch(r"\[([^\]]*)\](:[0-9]*)?", host, re.A):
        try:
            address = ipaddress.IPv6Address(bracketed[1])
        except ValueError:
            return False
        mapped = address.ipv4_mapped
        return address.scope_id is None and (mapped.is_loopback if mapped else address.is_loopback)
    name = re.fullmatch(r"([^:]*)(:[0-9]*)?", host, re.A)
    if not name:
        return False
    try:
        return ipaddress.IPv4Address(name[1]).is_loopback
    except ValueError:
        labels = name[1].lower().removesuffix(".").split(".")
        return labels[-1] == "localhost" and all(re.fullmatch("[a-z0-9_-]+", label, re.A) for label in labels)


def test_random_hosts(hub):
    rng = random.Random(20261121)
    pieces = [
        "localhost", "LocalHost", "127.0.0.1", "127.", "0", "1", "255", "256", "01", ".", ".", ":", "::1", "[", "]", "[::1]", "[::", "ffff:", "80", "65536",
        "@", "/", ",", "\\", "%41", "a", "-", "_", "x" * 300, EVIL, "\xe9", "\xff",
    ]
    seen = {200: 0, 403: 0, 400: 0}
    for _ in range(3_000):
        if rng.random() < 0.2:
            host = "".join(chr(rng.randrange(0x21, 0x100)) for _ in range(rng.randrange(1, 20))).replace("\x7f", "")
        else:
            host = "".join(rng.choice(pieces) for _ in range(rng.randrange(1, 5)))
        got = status(hub, named(host, get("/healthz")))
        seen[got] += 1
        # What the parser does not take is no request at all.
        assert got == 200 if is_loopback(host) else got in (400, 403), (host, got)
    assert seen[200] > 50 and seen[403] > 1_000, seen
    assert hub.get("/healthz").status_code == 200


# ------------------------------------------------------------ Sec-Fetch-Site


@pytest.mark.parametrize("name", ENDPOINTS)
def test_what_a_page_of_another_site_asks_for_is_refused_everywhere(hub, name):
    make, usual = ENDPOINTS[name]
    for site in ("same-origin", "same-site", "none", "unheard-of"):
        assert status(hub, make(f"Sec-Fetch-Site: {site}")) == usual, site
    cross = "Sec-Fetch-Site: cross-site"
    for extra in (
        [], ["Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"], ["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"],
        [f"Origin: https://{EVIL}"], ["Origin: null"], [f"Origin: http://localhost.{EVIL}", "Sec-Fetch-Mode: cors"],
    ):
        message = refused(hub, make(cross, *extra))
        assert not message or "pages of other sites" in message, extra
    # localhost and 127.0.0.1 are two sites, and both are this machine.
    for origin in ("http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:1", "https://app.localhost", "http://127.0.0.2"):
        with Wire(hub) as wire:
            head = wire.send(make(cross, f"Origin: {origin}")).head()
        assert head.status == usual
        if usual != 101:
            assert head.headers["access-control-allow-origin"] == ("*" if name == "script" else origin)


def test_a_link_to_the_page_may_be_followed(hub):
    link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1"]
    assert status(hub, get("/", *link)) == 200
    assert status(hub, get("/?_=1", *link)) == 200
    for method in ("POST", "HEAD", "DELETE", "OPTIONS"):
        refused(hub, request(method, "/", *link))
    for path in ("/v1/poll?user=guarded", "/ramen/ack?seq=0&user=guarded&device=d", "/metrics", "/openapi.yaml", "//", "/x", "http://localhost/"):
        refused(hub, get(path, *link))
    refused(hub, get("/", *link, f"Origin: https://{EVIL}"))
    refused(hub, named(EVIL, get("/", *link)))


def test_pages_that_are_listed_may_come_from_anywhere(tmp_path):
    cross = "Sec-Fetch-Site: cross-site"
    server = Server(tmp_path / "data", "--origins", "https://app.example").start()
    try:
        assert status(server, publish("/v1/messages", cross, "Origin: https://app.example")) == 202
        refused(server, publish("/v1/messages", cross, f"Origin: https://{EVIL}"))
        refused(server, publish("/v1/messages", cross))
        # The list is of pages, not of names for this server.
        refused(server, named("app.example", publish("/v1/messages")))
    finally:
        server.stop()


def test_outside_dev_mode_credentials_decide(tmp_path):
    server = Guarded(tmp_path / "data").start()
    try:
        for host in (EVIL, "push.example.com:443", ""):
            assert status(server, named(host, get("/healthz", "Sec-Fetch-Site: cross-site"))) == 200
            shown = f"Authorization: {bearer(token())['Authorization']}"
            assert status(server, named(host, get("/v1/poll", shown, "Sec-Fetch-Site: cross-site"))) == 200
            assert status(server, named(host, get("/v1/poll"))) == 401
    finally:
        server.stop()


# ------------------------------------------------------------ a real browser


class Pages:
    """A web server with one empty page."""

    def __enter__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = b"<!doctype html><title>page</title><body></body>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[
            "--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP *.example 127.0.0.1"])
        yield browser
        browser.close()


ATTACK = """async ([url, user]) => {
    const body = JSON.stringify({to: {user}, data: "from a page"})
    const quiet = {method: "POST", mode: "no-cors", body}
    const done = [
        fetch(`${url}/v1/messages`, quiet),
        fetch(`${url}/ramen/ack?seq=0&user=${user}&device=d`, {mode: "no-cors"}),
        new Promise(end => { const image = new Image(); image.onload = image.onerror = end; image.src = `${url}/v1/poll?user=${user}&device=d` }),
        new Promise(end => {
            const frame = document.createElement("iframe")
            frame.onload = end; frame.src = `${url}/`
            document.body.append(frame)
        }),
        new Promise(end => {
            const target = document.createElement("iframe"); target.name = "form"; document.body.append(target)
            const form = document.createElement("form")
            Object.assign(form, {method: "POST", action: `${url}/v1/messages`, enctype: "text/plain", target: "form"})
            const field = document.createElement("input")
            Object.assign(field, {name: body.slice(0, -1) + ', "type": "', value: '"}'})
            form.append(field); document.body.append(form)
            target.onload = end; form.submit()
        }),
    ]
    await Promise.allSettled(done)
    return await new Promise(end => {
        const socket = new WebSocket(url.replace("http", "ws") + `/v1/ws?user=${user}`)
        socket.onopen = () => end("open"); socket.onerror = () => end("refused")
    })
}"""


def forbidden(server: Server) -> float:
    return numbers(server)['martlet_refused_total{reason="forbidden"}']


def test_a_page_of_another_site_reaches_nothing(browser, hub, user):
    with Pages() as pages:
        for address in (hub.url, f"http://localhost:{hub.port}"):
            page = browser.new_page()
            answers = []
            page.on("response", lambda answer: answers.append(answer))
            page.goto(f"http://{EVIL}:{pages.port}/")
            answers.clear()
            before = forbidden(hub)
            assert page.evaluate(ATTACK, [address, user]) == "refused"
            got = [(answer.url.removeprefix(address).partition("?")[0], answer.status) for answer in answers]
            assert sorted(got) == [("/", 403), ("/ramen/ack", 403), ("/v1/messages", 403), ("/v1/messages", 403)], got
            # The browser does not tell of an image that is none, and of the WebSocket; the server does.
            assert forbidden(hub) == before + 6
            # A link is followed.
            page.evaluate("address => { location.href = address }", address + "/")
            page.wait_for_url(address + "/")
            assert page.title() == "Martlet"
            page.close()
    assert hub.get("/v1/poll", params={"user": user, "device": "looks"}).json()["messages"] == []


def test_a_rebound_name_reaches_nothing(browser, hub, user):
    page = browser.new_page()
    address = f"http://rebound.example:{hub.port}"
    assert page.goto(address + "/").status == 403
    # It is the page's own origin, so it could even read the answers.
    got, answer = page.evaluate(
        "async user => { const answer = await fetch(`/v1/poll?user=${user}`); return [answer.status, await answer.text()] }", user)
    assert got == 403 and json.loads(answer)["error"]["code"] == "forbidden"
    sent = "async user => (await fetch('/v1/messages', {method: 'POST', body: JSON.stringify({to: {user}, data: 1})})).status"
    assert page.evaluate(sent, user) == 403
    opened = "() => new Promise(end => { const s = new WebSocket(`ws://${location.host}/dev/echo`); s.onopen = () => end(true); s.onerror = () => end(false) })"
    assert page.evaluate(opened) is False
    page.close()
    assert hub.get("/v1/poll", params={"user": user, "device": "looks"}).json()["messages"] == []


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "app.localhost"])
def test_a_page_of_this_machine_works(browser, hub, user, name):
    with Pages() as pages:
        for address in (hub.url, f"http://localhost:{hub.port}"):
            page = browser.new_page()
            page.goto(f"http://{name}:{pages.port}/")
            got = page.evaluate("""async ([url, user]) => {
                const events = new EventSource(`${url}/v1/sse?user=${user}`)
                await new Promise((end, fail) => { events.addEventListener("welcome", end); events.onerror = fail })
                const socket = new WebSocket(url.replace("http", "ws") + `/v1/ws?user=${user}`)
                await new Promise((end, fail) => { socket.onmessage = end; socket.onerror = fail })
                const heard = Promise.all([
                    new Promise(end => { events.onmessage = event => end(JSON.parse(event.data).data) }),
                    new Promise(end => { socket.onmessage = event => end(JSON.parse(event.data).message.data) }),
                ])
                const headers = {"Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID()}
                const sent = await fetch(`${url}/v1/messages`, {method: "POST", headers, body: JSON.stringify({to: {user}, data: "hi"})})
                return [sent.status, ...await heard]
            }""", [address, user])
            assert got == [202, "hi", "hi"]
            page.close()

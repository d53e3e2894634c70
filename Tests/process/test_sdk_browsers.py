"""sdk/js in real browsers, over every transport that they have. The page is of another origin than the server."""

import json
import shutil
import subprocess
import time

import httpx
import pytest

from access import Guarded
from browsers import Site, start
from server import ROOT, Server, wait_until
from test_proxies import PATH, free_port
from holding_proxy import HoldingProxy

TRANSPORTS = ["websocket", "sse", "eventsource", "longpoll", "jsonp"]
QUICK = {"least": 2, "most": 2, "start": 2}


@pytest.fixture(scope="module", params=["chromium", pytest.param("firefox", marks=pytest.mark.long)])
def running(request):
    browser = start(request.param)
    yield browser
    browser.stop()


@pytest.fixture
def browser(running):
    running.fresh()
    yield running
    running.fresh()


@pytest.fixture(scope="module")
def site():
    site = Site()
    yield site
    site.stop()


@pytest.fixture(scope="module")
def available(hub):
    """Those that this server has."""
    has_jsonp = hub.get("/v1/poll", params={"user": "probe", "device": "probe", "callback": "probe"}).status_code == 200
    return [name for name in TRANSPORTS if has_jsonp or name != "jsonp"]


# Much like SSE, and like JSONP.
LIKE_OTHERS = ["eventsource", "longpoll"]


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.long) if name in LIKE_OTHERS else name for name in TRANSPORTS])
def transport(request, available):
    if request.param not in available:
        pytest.skip("this server has no JSONP")
    return request.param


def sessions(server: Server) -> int:
    lines = server.get("/metrics").text.splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("martlet_sessions{")))


def connected(tab, transport: str | None = None) -> None:
    tab.wait("window.isReady && martlet.status.state === 'connected'" + (f" && martlet.status.transport === '{transport}'" if transport else ""))


def delivered(server: Server, message: str, device: str) -> None:
    wait_until(lambda: server.device_state(message, device) == "delivered", 10, f"{message} delivered")


def received(tab, expected: list, timeout: float = 20) -> None:
    tab.wait(f"window.isReady && seen.data.length >= {len(expected)}", timeout)
    assert tab.run("seen.data") == expected
    assert tab.run("new Set(seen.ids).size") == len(expected)


# ------------------------------------------------------------ every transport


def test_order_and_acks(browser, site, hub, transport, user):
    tab = browser.tab(site.page(hub.url, module=f"{hub.url}/martlet.js", user=user, device="b", transports=[transport]))
    connected(tab, transport)
    ids = [hub.publish(user, data=number) for number in range(100)]
    received(tab, list(range(100)))
    for message in (ids[0], ids[-1]):
        delivered(hub, message, "b")
    tab.run("void (seen.delayMs = 2500)")
    slow = hub.publish(user, data="slow")
    wait_until(lambda: hub.device_state(slow, "b") == "sent", 5, "sent")
    time.sleep(1.3)  # acks are recorded once a second: one that came too early would be by now
    assert hub.device_state(slow, "b") == "sent"
    tab.wait("seen.data.length === 101")
    delivered(hub, slow, "b")
    assert tab.run("seen.errors") == []


def test_resumes_after_the_server_was_killed(browser, site, server, transport):
    tab = browser.tab(site.page(server.url, device="b", transports=[transport]))
    connected(tab, transport)
    expected = []
    for part in range(2):
        for number in range(20):
            expected.append(f"{part} before {number}")
            server.publish("alice", data=expected[-1])
        server.kill9()
        server.restart()
        for number in range(20):
            expected.append(f"{part} after {number}")
            server.publish("alice", data=expected[-1])
        received(tab, expected)
    assert tab.run("seen.gaps") == []


def test_a_page_that_is_loaded_again_goes_on_where_it_was(browser, site, server, transport):
    url = site.page(server.url, transports=[transport], room="room/1")
    server.http.put(f"{server.url}/v1/namespaces/room", json={"history": {"messages": 100}})
    tab = browser.tab(url)
    connected(tab, transport)
    for number in range(10):
        server.publish("alice", data=number)
    received(tab, list(range(10)))
    tab.wait("JSON.parse(Object.entries(localStorage).find(([name]) => name.endsWith(':cursor'))?.[1] ?? '{}').cursor")
    tab.goto("about:blank")
    server.publish("alice", data="meanwhile")
    server.http.post(f"{server.url}/v1/topics/room/1", json="meanwhile")
    tab.goto(url)
    tab.wait("window.isReady")
    tab.wait("seen.data.includes('meanwhile')")
    tab.wait("seen.room.includes('meanwhile')")
    assert tab.run("seen.data") == ["meanwhile"]
    assert tab.run("seen.room") == ["meanwhile"]


def test_tokens_are_renewed(browser, site, tmp_path, transport):
    server = Guarded(tmp_path / "data", "--limits-subscribe-rate", "0", "--origins", site.origin).start()
    try:
        key = server.key()
        site.token_seconds = 4
        tab = browser.tab(site.page(server.url, with_token=True, device="b", transports=[transport], pollWait=1))
        connected(tab, transport)
        tab.wait("seen.reasons.length >= 4", 25)
        answer = server.request("POST", "/v1/messages", key, json={"to": {"user": "alice"}, "type": "test", "data": "after"})
        assert answer.status_code == 202
        received(tab, ["after"])
        assert tab.run("seen.errors") == []
        assert tab.run("seen.statuses.filter(({ state }) => state === 'stopped')") == []
    finally:
        site.token_seconds = 600
        server.stop()


@pytest.mark.long
def test_the_network_is_gone_for_30_seconds(browser, site, server, available):
    wire = HoldingProxy(server.port)
    try:
        tabs = {
            transport: browser.tab(site.page(wire.url, device=transport, transports=[transport], share=False, heartbeat=QUICK, pollWait=3))
            for transport in available
        }
        for transport, tab in tabs.items():
            connected(tab, transport)
        server.publish("alice", data="before")
        for tab in tabs.values():
            received(tab, ["before"])
        wire.hold()
        gone = time.monotonic()
        sent = [server.publish("alice", data=f"away {number}") and f"away {number}" for number in range(30)]
        for transport in ("websocket", "sse", "eventsource"):
            tabs[transport].wait("martlet.status.state !== 'connected'", 15)
        time.sleep(30 - (time.monotonic() - gone))
        wire.release()
        for transport, tab in tabs.items():
            received(tab, ["before", *sent], 40)
            connected(tab, transport)
    finally:
        wire.stop()


def test_a_change_of_the_network_is_looked_into_at_once(browser, site, server):
    wire = HoldingProxy(server.port)
    try:
        tab = browser.tab(site.page(wire.url, device="b", retry={"baseMs": 60_000, "mostMs": 60_000}))
        connected(tab, "websocket")
        session = tab.run("martlet.status.session")
        # All is well: the answer to a ping shows it, and the session goes on.
        tab.run("void dispatchEvent(new Event('offline'))")
        time.sleep(6)
        assert tab.run("martlet.status.session") == session
        # By heartbeats alone it would take 43 seconds.
        wire.hold()
        tab.run("void dispatchEvent(new Event('offline'))")
        tab.wait("martlet.status.state !== 'connected'", 8)
        time.sleep(2)  # what was tried just now is not tried again
        wire.release()
        # By itself it would wait up to a minute.
        tab.run("void dispatchEvent(new Event('online'))")
        connected(tab)
    finally:
        wire.stop()


def test_taken_over_stops_and_says_so(browser, site, server, transport):
    tab = browser.tab(site.page(server.url, device="b", transports=[transport]))
    connected(tab, transport)
    time.sleep(0.5 if transport in ("longpoll", "jsonp") else 0)  # the first poll is a short one
    with httpx.stream("GET", f"{server.url}/v1/sse?user=alice&device=b", timeout=30) as other:
        tab.wait("martlet.status.state === 'stopped'")
        assert "device" in tab.run("martlet.status.error.message")
        time.sleep(3.5)  # longer than any pause before coming back
        assert tab.run("martlet.status.state") == "stopped"
        assert other.status_code == 200


# ------------------------------------------------------------ tabs


def test_eight_tabs_share_one_connection(browser, site, server):
    server.http.put(f"{server.url}/v1/namespaces/room", json={"history": {"messages": 100}, "presence": True})
    url = site.page(server.url, room="room/1")
    tabs = [browser.tab(url) for _ in range(8)]
    for tab in tabs:
        connected(tab, "websocket")
    assert sessions(server) == 1
    assert sorted(tab.run("martlet.status.role") for tab in tabs) == ["follower"] * 7 + ["leader"]
    device = tabs[0].run("martlet.status.device")
    assert {tab.run("martlet.status.device") for tab in tabs} == {device}
    for number in range(50):
        server.publish("alice", data=number)
    for tab in tabs:
        received(tab, list(range(50)))
    # Each publishes through the one connection, and all hear it.
    for number, tab in enumerate(tabs):
        assert tab.run(f"martlet.topic('room/1').publish({number}).then(({{ id }}) => id)")
    for tab in tabs:
        tab.wait("seen.room.length >= 8")
        assert tab.run("seen.room") == list(range(8))
    # A message is acked when the slowest tab has handled it.
    followers = [tab for tab in tabs if tab.run("martlet.status.role") == "follower"]
    followers[0].run("void (seen.delayMs = 3000)")
    slow = server.publish("alice", data="slow")
    time.sleep(1.5)
    assert server.device_state(slow, device) == "sent"
    delivered(server, slow, device)
    followers[0].run("void (seen.delayMs = 0)")
    assert sessions(server) == 1


def test_a_closed_leader_is_replaced_at_once(browser, site, server):
    url = site.page(server.url, room="room/1")
    server.http.put(f"{server.url}/v1/namespaces/room", json={"history": {"messages": 100}})
    tabs = [browser.tab(url) for _ in range(4)]
    for tab in tabs:
        connected(tab)
    expected = []
    for generation in range(3):
        for number in range(10):
            expected.append(f"{generation} {number}")
            server.publish("alice", data=expected[-1])
        leader = next(tab for tab in tabs if tab.run("martlet.status.role") == "leader")
        tabs.remove(leader)
        # In the middle of handling, so that what it had not handled must come to the others.
        leader.close()
        began = time.monotonic()
        for tab in tabs:
            tab.wait(f"seen.data.length >= {len(expected)}")
        wait_until(lambda: any(tab.run("martlet.status.role") == "leader" for tab in tabs), 3, "a new leader")
        tabs[0].wait("martlet.status.state === 'connected'", 5)
        assert time.monotonic() - began < 5
        server.publish("alice", data=f"{generation} end")
        expected.append(f"{generation} end")
        for tab in tabs:
            received(tab, expected)
    assert sessions(server) == 1


def test_a_tab_that_closes_while_it_handles_does_not_lose_the_message(browser, site, server):
    idle = browser.tab(site.page(server.url, handles=False))
    connected(idle)
    busy = browser.tab(site.page(server.url))
    connected(busy)
    busy.run("void (seen.delayMs = 60000)")
    device = idle.run("martlet.status.device")
    message = server.publish("alice", data="kept")
    wait_until(lambda: server.device_state(message, device) == "sent", 5, "sent")
    busy.close()
    time.sleep(1.5)
    assert server.device_state(message, device) == "sent"
    again = browser.tab(site.page(server.url))
    received(again, ["kept"])
    delivered(server, message, device)


@pytest.mark.long
def test_a_leader_that_does_not_answer_is_replaced_and_follows_when_it_does(browser, site, server):
    if browser.name == "firefox":
        pytest.skip("only a visible tab replaces its leader, and BiDi shows one tab")
    url = site.page(server.url)
    tabs = [browser.tab(url) for _ in range(3)]
    for tab in tabs:
        connected(tab)
    leader = next(tab for tab in tabs if tab.run("martlet.status.role") == "leader")
    others = [tab for tab in tabs if tab is not leader]
    leader.run("void setTimeout(() => { const end = Date.now() + 18000; while (Date.now() < end); window.isBack = true }, 100)")
    time.sleep(0.5)
    server.publish("alice", data=1)
    for tab in others:
        tab.wait("seen.data.length === 1", 16)
    assert sorted(tab.run("martlet.status.role") for tab in others) == ["follower", "leader"]
    leader.wait("window.isBack && martlet.status.role === 'follower' && martlet.status.state === 'connected'", 30)
    server.publish("alice", data=2)
    for tab in others:
        received(tab, [1, 2])
    # What the others handled meanwhile it may have missed, but it is one of them again.
    leader.wait("seen.data.at(-1) === 2")
    assert leader.run("seen.statuses.filter(({ state }) => state === 'stopped')") == []
    assert sessions(server) == 1


def test_tabs_that_do_not_share_are_devices_of_their_own(browser, site, server):
    tabs = [browser.tab(site.page(server.url, share=False)) for _ in range(2)]
    for tab in tabs:
        connected(tab)
    server.publish("alice", data=1)
    for tab in tabs:
        received(tab, [1])
    assert sessions(server) == 2
    assert [tab.run("martlet.status.role") for tab in tabs] == ["alone"] * 2


# ------------------------------------------------------------ proxies that do not let WebSocket through


@pytest.fixture(params=["refuses", "swallows"])
def proxied(request, tmp_path, server):
    """nginx without the two header lines of an upgrade; and one that passes it on to somebody who never answers."""
    if not shutil.which("nginx", path=PATH):
        pytest.skip("no nginx here: apt-get install nginx-light")
    port = free_port()
    silent = HoldingProxy(server.port)
    silent.hold()
    temporary = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    passes = "proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_read_timeout 120s;"
    upgrade = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
    ws = f"location /v1/ws {{ proxy_pass http://127.0.0.1:{silent.port}; {passes} {upgrade} }}" if request.param == "swallows" else ""
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
        f"events {{ worker_connections 1024; }}\n"
        f"http {{ {temporary} access_log off; server {{ listen 127.0.0.1:{port}; {ws} location / {{ proxy_pass http://127.0.0.1:{server.port}; {passes} }} }} }}\n")
    process = subprocess.Popen(["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], env={"PATH": PATH}, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(port), 10, "nginx")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
        silent.stop()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def test_falls_back_where_websocket_does_not_get_through(browser, site, server, proxied):
    url = site.page(proxied)
    tab = browser.tab(url)
    connected(tab, "sse")
    took = tab.run("seen.statuses.find(({ state }) => state === 'connected').at - seen.statuses[0].at")
    assert took < 2_000, f"{took} ms"
    for number in range(20):
        server.publish("alice", data=number)
    received(tab, list(range(20)))
    tab.goto(url)
    # It is remembered: the second time costs nothing.
    connected(tab, "sse")
    took = tab.run("seen.statuses.find(({ state }) => state === 'connected').at - seen.statuses[0].at")
    assert took < 1_000, f"{took} ms"


# ------------------------------------------------------------ the module


def test_the_page_of_the_readme_works(browser, site, server):
    text = (ROOT / "sdk" / "js" / "README.md").read_text()
    html = text.split("```html\n")[1].split("```")[0]
    assert "http://127.0.0.1:8080" in html
    site.readme = html.replace("http://127.0.0.1:8080", server.url)
    tabs = [browser.tab(f"{site.origin}/readme") for _ in range(2)]
    for tab in tabs:
        tab.wait("/^connected websocket (leader|follower)$/.test(document.title)")
    answer = server.post({"to": {"user": "alice"}, "type": "greeting", "data": "hello"})
    assert answer.status_code == 202
    for tab in tabs:
        tab.wait("document.body.textContent.includes('hello (medium)')")
    tabs[0].run("document.body.onclick() && null")
    for tab in tabs:
        tab.wait("document.body.textContent.includes('click')")


def test_the_module_is_served(hub):
    answer = hub.get("/martlet.js")
    assert answer.status_code == 200
    assert answer.content == (ROOT / "sdk" / "js" / "martlet.js").read_bytes()
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "max-age" in answer.headers["cache-control"]
    tag = answer.headers["etag"]
    assert hub.get("/martlet.js", headers={"If-None-Match": tag}).status_code == 304
    for origin in ("http://localhost:1", "https://elsewhere.example"):
        answer = hub.get("/martlet.js", headers={"Origin": origin})
        assert answer.headers.get_list("access-control-allow-origin") == ["*"], origin
    assert json.loads((ROOT / "sdk/js/package.json").read_text())["type"] == "module"

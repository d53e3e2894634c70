"""Hostile callback names, contents and topic names on the ways that bring scripts to a page: in a real Chromium nothing of them runs."""

import http.server
import json
import re
import threading
from urllib.parse import urlencode

import pytest

from clients import RawSSE
from server import unique, wait_until
from streams import Iframe, NDJSON
from topics import options, put

# Each would set `hacked`, in its own window or in the one around it, if it ran.
RUN = "hacked=1;parent.hacked=1"
CONTENTS = [
    f"</script><script>{RUN}</script>", f"</SCRIPT\t><script>{RUN}</script>", f"<script>{RUN}</script>", f"<!--<script>{RUN}</script>-->",
    "<!-- <script>", "-->", "]]>", f"]]><script>{RUN}</script>", f"<img src=x onerror='{RUN}'>", f"<svg/onload='{RUN}'>",
    f'");{RUN};("', f"');{RUN};('", f'"));{RUN};//', f'\\"));{RUN};//', f"\\\\\"));{RUN};//", "\\", "\\\\", '"', "'", "`", f"`;{RUN};`",
    f"${{{RUN}}}", f"\u2028{RUN}\u2029{RUN}", f"\n{RUN}\n", f"\r\n{RUN}//", f"*/{RUN}/*", f"//\n{RUN}", f"\0{RUN}\0", "\ufeff", "\x7f\x1b[2J",
    "&lt;/script&gt;", f"&quot;);{RUN};", f"javascript:{RUN}", "\\u003c/script\\u003e", "\\u0022));" + RUN, "--martlet\r\n\r\n", "\r\n--martlet--",
    "😀\U0010ffff", "a" * 5_000,
]
# As they are written: members that mean something else in a script than in JSON.
RAW = [
    '{"__proto__":{"hacked":1}}', '{"__proto__":1,"__proto__":2}', '{"constructor":{"prototype":{"hacked":1}}}', '{"\\u005f_proto__":{"hacked":1}}',
    "12345678901234567890.0100", '"\\u2028\\u2029\\u0000\\ud83d\\ude00"', '{"toString":1,"then":1}', "[ 1,\r\n2\r]",
]
# Refused when they are published.
BROKEN = [b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xed\xa0\x80"', b'"\xc0\xbc/script>"', b'"\x00"', b'"\xff"', b'"\n"', b'{"a":"\x01"}']
NAMES = [
    "alert(1)", f"{RUN};cb", f"cb;{RUN}//", f"cb({RUN})", f"</script><script>{RUN}</script>", f"(function(){{{RUN}}})", f"a\n{RUN}", f"a\u2028{RUN}",
    f"a\r{RUN}//", f"a/*{RUN}", f"[{RUN}]", f"a[{RUN}]", f"a=({RUN})", f"`${{{RUN}}}`", "eval", "Function", "window.hack", "parent.hack",
    "top.hack", "self.hack", "opener.hack", "frames.hack", "document.write", "document.body.remove", "location.assign", "setTimeout",
    "hack.constructor", "hack.__proto__.x", "a..b", ".hack", "hack.", "1hack", "\\u0068ack", "h\u0430ck", "\uff48ack", "hack\0", "", " hack", "hack ", "x" * 65,
]
# They may be named in a URL, a header or a script.
TOPICS = [f"x</script><script>{RUN}</script>", f"');{RUN};('", f'");{RUN};("', f"<img src=x onerror={RUN}>", "<!--", "]]>", "a\\", "a\"b'c`d", "${x}", "__proto__"]


def set_up(page, hub) -> None:
    page.goto(f"{hub.url}/healthz")
    page.evaluate("""() => { window.app = {got: [], push: value => app.got.push(value), hack: () => { window.hacked = 1 }}; window.hack = app.hack }""")


def nothing_ran(page) -> None:
    assert page.evaluate("[window.hacked, ({}).hacked, [].hacked]") == [None, None, None]
    for frame in page.frames:
        assert frame.evaluate("[window.hacked, ({}).hacked]") == [None, None]


def publish_everything(hub, user: str) -> list:
    expected = []
    for text in CONTENTS:
        hub.publish(user, data=text)
        expected.append(json.dumps(text))
    for raw in RAW:
        answer = hub.post('{"to":{"user":"%s"},"data":%s}' % (user, raw))
        assert answer.status_code == 202, answer.text
        expected.append(raw)
    for name in ("</script><script>" + RUN + "</script>", '");' + RUN + ';("'):
        hub.publish(user, data=1, type=name, notification={name: name}, collapseKey=name)
        expected.append("1")
    return expected


def same(page, got: str, expected: list[str]) -> None:
    """What the page has is what its own JSON.parse makes of what was published, own members and all."""
    result = page.evaluate(
        """([got, expected]) => {
            const own = value => value && typeof value == "object"
                ? [Array.isArray(value), Object.getPrototypeOf(value) === (Array.isArray(value) ? Array : Object).prototype,
                   Object.getOwnPropertyNames(value).map(name => [name, own(Object.getOwnPropertyDescriptor(value, name).value)])]
                : [typeof value, value];
            const messages = eval(got);
            return messages.length != expected.length ? [messages.length, expected.length]
                : expected.filter((text, index) => JSON.stringify(own(messages[index].data)) != JSON.stringify(own(JSON.parse(text))));
        }""", [got, expected])
    assert result == []


def load_script(page, query: dict) -> str:
    """Returns `load` or `error`."""
    return page.evaluate(
        """url => new Promise(done => {
            const script = document.createElement("script");
            script.onload = () => done("load");
            script.onerror = () => done("error");
            script.src = url;
            document.body.append(script);
        })""", f"/v1/poll?{urlencode(query)}")


def open_frame(page, query: dict) -> None:
    page.evaluate(
        """url => {
            const frame = document.createElement("iframe");
            app.ended = 0;
            frame.onload = () => { app.ended++ };
            frame.src = url;
            document.body.append(frame);
        }""", f"/v1/stream?{urlencode({'format': 'iframe'} | query)}")


MESSAGES = 'app.got.flatMap(value => value.message ? [value.message] : value.messages || [])'


def wait_for(page, count: int) -> None:
    page.wait_for_function(f"{MESSAGES}.length >= {count}")


def test_contents_in_jsonp(page, hub, user):
    expected = publish_everything(hub, user)
    set_up(page, hub)
    query = {"user": user, "device": f"{user}-d1", "callback": "app.push"}
    while page.evaluate(f"{MESSAGES}.length") < len(expected):
        cursor = page.evaluate("app.got.length ? app.got[app.got.length - 1].cursor : ''")
        assert load_script(page, query | {"cursor": cursor}) == "load"
    same(page, MESSAGES, expected)
    nothing_ran(page)


def test_contents_in_an_iframe(page, hub, user):
    expected = publish_everything(hub, user)
    set_up(page, hub)
    open_frame(page, {"user": user, "device": f"{user}-d1", "callback": "app.push"})
    wait_for(page, len(expected))
    same(page, MESSAGES, expected)
    # What calls has taken itself out; what it calls with is there once.
    assert page.evaluate("document.querySelector('iframe').contentDocument.scripts.length") == 1
    assert page.evaluate("document.querySelector('iframe').contentDocument.images.length") == 0
    assert page.evaluate("app.ended") == 0
    nothing_ran(page)


def test_names_of_topics(page, hub):
    space = unique("hostile")
    options(hub, space, history={"messages": 100})
    names = [f"{space}/{name}" for name in TOPICS]
    for name in names:
        assert put(hub, name, b'{"a":1}', "application/json").status_code == 202
    set_up(page, hub)
    query = {"topics": f"{space}/#", "since": "earliest", "callback": "app.push"}
    assert load_script(page, query) == "load"
    assert page.evaluate(f"{MESSAGES}.map(message => message.topic).sort()") == sorted(names)
    page.evaluate("app.got = []")
    listed = ",".join(name.replace("%", "%25").replace(",", "%2C") for name in names)
    open_frame(page, query | {"topics": listed})
    wait_for(page, len(names))
    assert page.evaluate("app.got[0].welcome.topics.map(topic => topic.topic)") == names
    assert page.evaluate(f"{MESSAGES}.map(message => message.topic).sort()") == sorted(names)
    nothing_ran(page)


def test_names_of_functions(page, hub, user):
    set_up(page, hub)
    for name in NAMES:
        assert load_script(page, {"user": user, "device": f"{user}-d1", "callback": name}) == "error", name
        open_frame(page, {"user": user, "device": f"{user}-d1", "callback": name})
        page.wait_for_function("app.ended == 1")
        page.evaluate("document.querySelector('iframe').remove()")
        nothing_ran(page)
    assert page.evaluate("app.got") == []


def test_what_is_broken_is_refused_at_the_publish(hub, user):
    for raw in BROKEN:
        answer = hub.post(b'{"to":{"user":"' + user.encode() + b'"},"data":' + raw + b"}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json"), raw


def test_errors_come_as_calls(page, hub):
    set_up(page, hub)
    hostile = f"</script><script>{RUN}</script>"
    assert load_script(page, {"callback": "app.push", hostile: hostile, "user": "u"}) == "load"
    open_frame(page, {"callback": "app.push", hostile: hostile, "user": "u"})
    page.wait_for_function("app.got.length == 2")
    assert page.evaluate("app.got.map(value => value.error.code)") == ["bad_request"] * 2
    assert page.evaluate("app.got.every(value => value.error.message.includes('</script>'))")
    nothing_ran(page)


def test_only_scripts_of_the_answer_run_in_the_frame(page, hub, user):
    set_up(page, hub)
    open_frame(page, {"user": user, "device": f"{user}-d1", "callback": "app.push"})
    page.wait_for_function("app.got.length == 1")
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        page.evaluate(
            """() => {
                const inner = document.querySelector("iframe").contentDocument;
                const script = inner.createElement("script");
                script.textContent = "parent.hacked = 1";
                inner.body.append(script);
            }""")
    nothing_ran(page)


def test_the_end_is_told_and_seen(page, hub, user):
    """A stream that ends calls once more, and the frame is loaded then; it comes back with the cursor."""
    set_up(page, hub)
    device = f"{user}-d1"
    hub.publish(user, data="first")
    open_frame(page, {"user": user, "device": device, "callback": "app.push"})
    wait_for(page, 1)
    with RawSSE(hub, user, device):
        page.wait_for_function("app.ended == 1")
        assert page.evaluate("app.got[app.got.length - 1].close.code") == 4500
    cursor = page.evaluate(f"{MESSAGES}[0].cursor")
    hub.publish(user, data="second")
    page.evaluate("document.querySelector('iframe').remove()")
    open_frame(page, {"user": user, "device": device, "callback": "app.push", "cursor": cursor})
    wait_for(page, 2)
    assert page.evaluate(f"{MESSAGES}.map(message => message.data)") == ["first", "second"]


def test_in_a_window_of_its_own_it_calls_nothing(page, hub, user):
    """With `parent` the window itself, a link could call any function of a page of the same origin that opened it."""
    set_up(page, hub)
    page.goto(f"{hub.url}/v1/stream?format=iframe&callback=app.push&user={user}&device={user}-d1", wait_until="commit")
    page.evaluate("window.app = {got: [], push: value => app.got.push(value)}")
    hub.publish(user, data=1)
    # The script of the message takes itself out when it runs.
    # Not wait_for_function, which the page's policy does not let run.
    wait_until(lambda: page.evaluate("document.body.textContent.length > 1 && document.scripts.length == 1"))
    assert page.evaluate("app.got") == []


def test_pages_of_other_origins_show_no_frame(page, hub, user):
    frame = f"{hub.url}/v1/stream?format=iframe&callback=app.push&user={user}&device={user}-d1"
    outer = f'<script>app = {{got: [], push: v => app.got.push(v)}}</script><iframe src="{frame}"></iframe>'.encode()

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(outer)

        def log_message(self, *_):
            pass

    elsewhere = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    try:
        with page.expect_console_message(lambda message: re.search("frame-ancestors|X-Frame-Options", message.text)):
            page.goto(f"http://127.0.0.1:{elsewhere.server_port}/", wait_until="commit")
        assert page.evaluate("app.got") == []
    finally:
        elsewhere.shutdown()
        elsewhere.server_close()


@pytest.mark.parametrize("stream", [NDJSON, Iframe], ids=["ndjson", "iframe"])
def test_exact_bytes(hub, user, stream):
    """The parsers of streams.py take nothing but what the protocol says."""
    expected = publish_everything(hub, user)
    with stream(hub, user, f"{user}-d1") as client:
        for message, text in zip(client.take(len(expected)), expected):
            assert message["data"] == json.loads(text)
            assert text.startswith('"') or re.sub(r"[\r\n]", " ", text) in message["_raw"]

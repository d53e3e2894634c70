"""Input that is not what the protocol says: each has its documented answer, and none of it reaches a log line or an SSE field raw."""

import json
import os
import re
import struct

import pytest

from server import Server, unique
from wire import Wire, frame, handshake, request
from test_limits import error, limited  # noqa: F401

OK = '{"to":{"user":"u"},"data":1}'

NOT_JSON = {
    "nothing": b"", "white space": b" \r\n\t", "a word": b"hello", "half an object": b'{"to":{"user":"u"}', "two objects": OK.encode() * 2, "a comma too many": b'{"to":{"user":"u"},}',
    "single quotes": b"{'to':{'user':'u'}}", "a comment": b'{"to":{"user":"u"}/* */}', "NaN": b'{"to":{"user":"u"},"data":NaN}', "Infinity": b'{"to":{"user":"u"},"data":-Infinity}',
    "leading zero": b'{"to":{"user":"u"},"data":01}', "a plus": b'{"to":{"user":"u"},"data":+1}', "a point without digits": b'{"to":{"user":"u"},"data":1.}',
    "hex": b'{"to":{"user":"u"},"data":0x10}', "a raw line break in a string": b'{"to":{"user":"u"},"data":"a\nb"}', "a raw NUL in a string": b'{"to":{"user":"u"},"data":"a\x00b"}',
    "a bad escape": rb'{"to":{"user":"u"},"data":"\x41"}', "half a surrogate": rb'{"to":{"user":"u"},"data":"\ud800"}', "half an escape": rb'{"to":{"user":"u"},"data":"\u12"}', "invalid UTF-8": b'{"to":{"user":"u"},"data":"\xff\xfe"}',
    "overlong UTF-8": b'{"to":{"user":"u"},"data":"\xc0\xaf"}', "a UTF-8 surrogate": b'{"to":{"user":"u"},"data":"\xed\xa0\x80"}', "beyond Unicode": b'{"to":{"user":"u"},"data":"\xf4\x90\x80\x80"}',
    "half a UTF-8 character": b'{"to":{"user":"u"},"data":"\xe2\x82"}', "a byte order mark": b"\xef\xbb\xbf" + OK.encode(), "UTF-16": OK.encode("utf-16"),
    "a NUL after it": OK.encode() + b"\x00", "an open string": b'{"to":{"user":"u"},"data":"', "gzip": b"\x1f\x8b\x08\x00" + os.urandom(40),
}
REFUSED = {
    "an array": "[]", "a number": "7", "null": "null", "an empty object": "{}", "an unknown field": '{"to":{"user":"u"},"dota":1}', "a known field twice": '{"to":{"user":"u"},"to":{"user":"v"},"data":1}',
    "to is a string": '{"to":"u"}', "to is empty": '{"to":{}}', "two kinds of target": '{"to":{"user":"u","all":true}}', "user is a number": '{"to":{"user":7}}', "user is null": '{"to":{"user":null}}',
    "user is an array": '{"to":{"user":["u"]}}', "no users": '{"to":{"users":[]}}', "users with a number": '{"to":{"users":["a",7]}}', "an empty user": '{"to":{"user":""}}',
    "all is false": '{"to":{"all":false}}', "a long user": '{"to":{"user":"%s"}}' % ("u" * 257), "a user with NUL": r'{"to":{"user":"u\u0000"}}', "a user with CR": r'{"to":{"user":"u\r"}}',
    "a user with LF": r'{"to":{"user":"u\n"}}', "a user with DEL": r'{"to":{"user":"u\u007f"}}', "a user with half a surrogate": r'{"to":{"user":"u\ud800"}}',
    "type is a number": '{"to":{"user":"u"},"type":7}', "a type with LF": r'{"to":{"user":"u"},"type":"a\nevent: welcome"}', "an unknown priority": '{"to":{"user":"u"},"priority":"urgent"}',
    "priority is a number": '{"to":{"user":"u"},"priority":1}', "ttl is a string": '{"to":{"user":"u"},"ttl":"5"}', "ttl is negative": '{"to":{"user":"u"},"ttl":-1}', "ttl is a fraction": '{"to":{"user":"u"},"ttl":1.5}',
    "ttl is huge": '{"to":{"user":"u"},"ttl":1e300}', "ttl is beyond 64 bits": '{"to":{"user":"u"},"ttl":%s}' % ("9" * 400), "collapseKey is an object": '{"to":{"user":"u"},"collapseKey":{}}',
    "a collapse key with CR": r'{"to":{"user":"u"},"collapseKey":"a\rb"}', "an idempotency key with LF": r'{"to":{"user":"u"},"idempotencyKey":"a\nb"}', "notification is a string": '{"to":{"user":"u"},"notification":"x"}',
    "base64 that is none": '{"to":{"user":"u"},"dataBase64":"###"}', "65 levels": '{"to":{"user":"u"},"data":%s1%s}' % ("[" * 65, "]" * 65), "30,000 levels": '{"to":{"user":"u"},"data":%s1%s}' % ("[" * 30_000, "]" * 30_000),
    "30,000 objects": '{"to":{"user":"u"},"data":%s1%s}' % ('{"a":' * 6_000, "}" * 6_000),
}
STORED = {
    "a huge number": '{"to":{"user":"%s"},"data":%s}', "a tiny number": '{"to":{"user":"%s"},"data":1e-99999}', "a huge exponent": '{"to":{"user":"%s"},"data":1e99999}',
    "a NUL in data": r'{"to":{"user":"%s"},"data":"a\u0000b"}', "line breaks in data": r'{"to":{"user":"%s"},"data":"a\nb\r\nid: x\n\nevent: close\n\n"}',
    "line separators in data": '{"to":{"user":"%s"},"data":"\u2028\u2029\u0085"}', "the same member twice in data": '{"to":{"user":"%s"},"data":{"a":1,"a":2}}', "60 levels": '{"to":{"user":"%s"},"data":' + "[" * 60 + "]" * 60 + "}",
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_json(hub, name):
    answer = hub.post(NOT_JSON[name])
    assert (answer.status_code, answer.json()["error"]["code"]) in ((400, "invalid_json"), (400, "bad_request")), answer.text


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_message(hub, name):
    answer = hub.post(REFUSED[name])
    assert (answer.status_code, answer.json()["error"]["code"]) in ((400, "bad_request"), (400, "invalid_json")), answer.text
    assert len(answer.text) < 1_000


@pytest.mark.parametrize("name", STORED)
def test_what_looks_bad_and_is_data(hub, name):
    """It is delivered as it is, in one event, and whatever it holds ends no event and begins no field."""
    user = unique("odd")
    text = STORED[name].replace("%s", user, 1).replace("%s", "9" * 3_000)
    with Wire(hub) as wire:
        wire.send(request("GET", f"/v1/sse?user={user}"))
        wire.until(b"event: welcome")
        wire.until(b"\n\n")
        answer = hub.post(text.encode())
        assert answer.status_code == 202, answer.text
        fields = wire.until(b"\n\n").removesuffix(b"\n\n").split(b"\n")
        assert [field.partition(b":")[0] for field in fields] == [b"id", b"data"]
        data = text[text.index('"data":'):].removesuffix("}").encode()
        assert data in fields[1]


def test_batches_with_bad_lines(hub):
    lines = [OK, "", "{", OK, "\x00", "[" * 5_000, OK.replace("1", "2"), '{"to":{"user":"\\ud800"}}', "null", OK + OK]
    answers = [json.loads(line) for line in hub.batch(lines).text.splitlines()]
    assert ["id" in answer for answer in answers] == [True, False, True, False, False, True, False, False, False]
    assert hub.post(b"\xff\xfe\n\r\n\xff", Content_Type="application/x-ndjson").status_code == 202  # each line has its error
    assert hub.post(b"\n\r\n\n", Content_Type="application/x-ndjson").status_code == 400


QUERIES = [
    "/v1/sse", "/v1/sse?user=", "/v1/sse?user=%00", "/v1/sse?user=a%0d%0aX-Injected:+1", "/v1/sse?user=%ff%fe", "/v1/sse?user=%c0%af", "/v1/sse?user=a&device=%0a", "/v1/sse?user=" + "u" * 300,
    "/v1/sse?user=a&cursor=garbage", "/v1/sse?user=a&cursor=%00", "/v1/sse?user=a&cursor=" + "A" * 5_000, "/v1/sse?user=a&cursor=AQ", "/v1/sse?user=a&cursor=AQAAAAAAAAAAAAAAAAAAAAAAAAAA", "/v1/sse?user=a&window=0",
    "/v1/sse?user=a&window=-1", "/v1/sse?user=a&window=1e3", "/v1/sse?user=a&window=99999999999999999999", "/v1/sse?user=a&heartbeat=NaN", "/v1/sse?user=a&heartbeat=-5", "/v1/sse?user=a&heartbeat=inf",
    "/v1/sse?user=a&ack=maybe", "/v1/sse?user=a&hb=no", "/v1/sse?user=a&from=then", "/v1/poll?user=a&wait=61", "/v1/poll?user=a&wait=-1", "/v1/poll?user=a&limit=0", "/v1/poll?user=a&cursor=%0a",
    "/ramen/receive?user=a&device=d", "/ramen/receive?user=a&device=d&seq=-1", "/ramen/receive?user=a&device=d&seq=18446744073709551616", "/ramen/receive?user=a&device=d&seq=7", "/ramen/receive?user=a&seq=0",
    "/ramen/ack?user=a&device=d&seq=x", "/v1/messages/nothing", "/v1/messages/%00", "/v1/messages/" + "0" * 4_000, "/v1/messages/00000000-0000-0000-0000-00000000000%0a",
]


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path[:60])
def test_bad_queries(hub, path):
    with Wire(hub) as wire:
        wire.send(request("GET", path))
        head = wire.head()
        assert head.status in (400, 401, 404), head
        assert "x-injected" not in head.headers
        body = json.loads(wire.exactly(int(head.headers["content-length"])))
        assert body["error"]["code"] in ("bad_request", "invalid_cursor", "seq_unknown", "unauthorized", "not_found"), body
    if path.startswith("/v1/sse"):
        with Wire(hub) as wire:
            wire.send(handshake(path.replace("/v1/sse", "/v1/ws")))
            assert wire.head().status in (400, 401)


@pytest.mark.parametrize("header", ["Last-Event-ID: garbage", "Last-Event-ID: \xff\xfe", "Last-Event-ID: " + "A" * 4_000])
def test_bad_last_event_ids(hub, header):
    with Wire(hub) as wire:
        wire.send(f"GET /v1/sse?user=a&device=d HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode("latin-1"))
        status, body = wire.answer()
        assert (status, error(body)) == (400, "invalid_cursor")


FRAMES = {
    "unmasked": (b"\x81\x05hello", 1002), "reserved bit": (b"\xc1\x80\0\0\0\0", 1002), "reserved opcode": (b"\x83\x80\0\0\0\0", 1002), "a control frame in fragments": (b"\x09\x80\0\0\0\0", 1002),
    "a long ping": (b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126, 1002), "a continuation of nothing": (b"\x80\x80\0\0\0\0", 1002), "a message within a message": (b"\x01\x81\0\0\0\0a\x81\x81\0\0\0\0b", 1002),
    "a length of 2^63": (b"\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 1002), "a length of 2^62": (b"\x81\xff\x40\0\0\0\0\0\0\0\0\0\0\0", 1009), "a length of 1 GB": (b"\x81\xff" + struct.pack(">Q", 1 << 30) + b"\0\0\0\0", 1009),
    "a length that is longer than needed": (b"\x81\xfe\x00\x05\0\0\0\0hello", 1002), "more bytes than the limit": (b"\x81\xfe" + struct.pack(">H", 20_000) + b"\0\0\0\0", 1009),
    "invalid UTF-8": (frame(b'{"ping":"\xff"}'), 1007), "half a character": (frame(b'{"ping":"\xe2\x82'), 1007), "binary": (frame(b"x", 2), 1003), "a close with one byte": (frame(b"\x03", 8), 1002),
    "a close with a bad code": (frame(struct.pack(">H", 1005), 8), 1002), "a close with a bad reason": (frame(struct.pack(">H", 1000) + b"\xff", 8), 1007), "no JSON": (frame(b"hello"), 1008), "deep JSON": (frame(b'{"ping":' + b"[" * 10_000), 1008),
    "an unknown member": (frame(b'{"nack":1}'), 1008), "two members": (frame(b'{"ack":1,"ping":1}'), 1008), "an ack beyond what was sent": (frame(b'{"ack":1000000}'), 1008), "an ack of a fraction": (frame(b'{"ack":1.5}'), 1008),
    "an ack beyond 64 bits": (frame(b'{"ack":99999999999999999999}'), 1008), "an ack of 100,000 numbers": (frame(b'{"ack":[' + b"1," * 7_000 + b"1]}"), 1008),
}


@pytest.mark.parametrize("name", FRAMES)
def test_bad_frames(hub, name):
    data, code = FRAMES[name]
    with Wire(hub) as wire:
        wire.send(handshake(f"/v1/ws?user={unique('frames')}&device=d"))
        assert wire.head().status == 101
        assert "welcome" in wire.text()
        wire.send(data)
        opcode, payload = wire.frame()
        if opcode == 1:
            assert json.loads(payload)["error"]["code"]
            opcode, payload = wire.frame()
        assert (opcode, payload[:2]) == (8, struct.pack(">H", code)), payload


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_forges_a_line_of_the_log(limited, form):
    """Whatever a stranger sends, each line of the log is the server's own."""
    server = limited("--log-format", form, "--log-level", "trace", "--limits-connections-per-address", "8", "--trusted-proxies", "127.0.0.0/8")
    forged = "\r\n2026-01-01T00:00:00.000Z critical forged=yes \x1b[31m\u2028"
    encoded = "%0d%0a2026-01-01T00:00:00.000Z%20critical%20forged%3dyes%20%1b%5b31m%e2%80%a8"
    for path in (f"/v1/sse?user={encoded}", f"/{encoded}", f"/v1/messages/{encoded}", f"/v1/poll?user=a&cursor={encoded}", f"/v1/poll?user=a&{encoded}=1"):
        with Wire(server) as wire:
            wire.send(request("GET", path)).answer()
    for value in (encoded, "\x1b[31mforged", "\xff\xfe", "forged=yes"):
        # With a Host of its own dev mode refuses it; either way nothing may show.
        for host in ("localhost", value):
            with Wire(server) as wire:
                wire.send(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {value}\r\nX-Forwarded-For: {value}\r\nX-Request-ID: {value}\r\n\r\n".encode("latin-1")).answer()
    for _ in range(2):
        server.post({"to": {"user": "a", "x": forged}, forged: forged})
        server.post({"to": {"user": forged}})
        server.post({"to": {"user": "plain"}, "data": forged, "idempotencyKey": "k\u2028forged=yes"})
    held = [Wire(server).send(request("GET", "/v1/sse?user=log", "X-Forwarded-For: 203.0.113.9")) for _ in range(9)]
    for wire in held:
        wire.close()
    server.terminate()
    assert server.wait() == 0
    log = server.log.read_bytes()
    server.start()
    assert b"\x1b" not in log and "\u2028".encode() not in log
    for line in log.decode().splitlines():
        if form == "json":
            assert json.loads(line)["level"] != "critical"
        else:
            assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d{4}) (trace|debug|info|notice|warning|error) ", line), line
        assert not line.startswith("2026-01-01")

"""Shapes of request smuggling: each is refused, and never is a second request answered out of what was a body."""

import re

import pytest

from wire import Wire, request

SECOND = b"GET /healthz?smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"
CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return POST + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def answers(hub, data: bytes) -> tuple[int, int]:
    """The status of the first answer (0: closed without one), and how many answers there were."""
    with Wire(hub, timeout=3) as wire:
        try:
            wire.send(data)
        except OSError:
            pass
        try:
            text = wire.to_end()
        except (TimeoutError, ConnectionError):
            text = wire.rest
    found = re.findall(rb"HTTP/1\.[01] (\d{3}) ", text)
    return (int(found[0]) if found else 0), len(found)


REFUSED = {
    "content-length-and-chunked": post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=CHUNKS),
    "chunked-and-content-length": post(b"Transfer-Encoding: chunked", b"Content-Length: 6", body=CHUNKS),
    "two-content-lengths": post(b"Content-Length: 2", b"Content-Length: 5", body=b"{}"),
    "two-equal-content-lengths": post(b"Content-Length: 2", b"Content-Length: 2", body=b"{}"),
    "list-of-content-lengths": post(b"Content-Length: 2, 2", body=b"{}"),
    "negative-content-length": post(b"Content-Length: -1", body=b"{}"),
    "signed-content-length": post(b"Content-Length: +2", body=b"{}"),
    "hex-content-length": post(b"Content-Length: 0x2", body=b"{}"),
    "huge-content-length": post(b"Content-Length: 99999999999999999999999", body=b"{}"),
    "empty-content-length": post(b"Content-Length:", body=b"{}"),
    "content-length-with-letters": post(b"Content-Length: 2a", body=b"{}"),
    "xchunked": post(b"Transfer-Encoding: xchunked", body=CHUNKS),
    "chunked-not-last": post(b"Transfer-Encoding: chunked, identity", body=CHUNKS),
    "identity": post(b"Transfer-Encoding: identity", b"Content-Length: 2", body=b"{}"),
    "gzip-and-chunked": post(b"Transfer-Encoding: gzip, chunked", body=CHUNKS),
    "chunked-twice": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKS),
    "chunked-with-vertical-tab": post(b"Transfer-Encoding: \x0bchunked", body=CHUNKS),
    "chunked-in-http-1.0": post(b"Transfer-Encoding: chunked", body=CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "space-before-colon": post(b"Transfer-Encoding : chunked", body=CHUNKS),
    "tab-before-colon": post(b"Content-Length\t: 2", body=b"{}"),
    "space-before-field": post(b" Content-Length: 2", body=b"{}"),
    "obs-fold": post(b"X: a\r\n folded", b"Content-Length: 2", body=b"{}"),
    "obs-fold-of-transfer-encoding": post(b"Transfer-Encoding:\r\n chunked", body=CHUNKS),
    "bare-lf-lines": post(b"Content-Length: 2", body=b"{}").replace(b"\r\n", b"\n"),
    "bare-lf-after-a-field": POST + b"X: a\nContent-Length: 2\r\n\r\n{}",
    "bare-cr-in-a-field": post(b"X: a\rContent-Length: 2", body=b""),
    "cr-cr-lf": POST + b"X: a\r\r\nContent-Length: 2\r\n\r\n{}",
    "nul-in-a-field": post(b"X: a\x00b", b"Content-Length: 2", body=b"{}"),
    "nul-in-a-name": post(b"X\x00Y: a", b"Content-Length: 2", body=b"{}"),
    "nul-in-the-target": b"GET /healthz\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "control-in-a-name": post(b"X\x01: a", b"Content-Length: 2", body=b"{}"),
    "no-name": post(b": a", b"Content-Length: 2", body=b"{}"),
    "no-colon": post(b"Nonsense", b"Content-Length: 2", body=b"{}"),
    "space-in-the-target": b"GET /health z HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no-host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two-hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "http-0.9": b"GET /healthz\r\n\r\n",
    "http-2.0": b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "http-1.1-with-more": b"GET /healthz HTTP/1.1x\r\nHost: localhost\r\n\r\n",
    "http-99.1": b"GET /healthz HTTP/99.1\r\nHost: localhost\r\n\r\n",
    "lower-case-protocol": b"GET /healthz http/1.1\r\nHost: localhost\r\n\r\n",
    "chunk-size-overflow": post(b"Transfer-Encoding: chunked", body=b"10000000000000002\r\n{}\r\n0\r\n\r\n"),
    "chunk-size-of-many-digits": post(b"Transfer-Encoding: chunked", body=b"0" * 5_000 + b"2z\r\n{}\r\n0\r\n\r\n"),
    "chunk-size-negative": post(b"Transfer-Encoding: chunked", body=b"-2\r\n{}\r\n0\r\n\r\n"),
    "chunk-size-with-sign": post(b"Transfer-Encoding: chunked", body=b"+2\r\n{}\r\n0\r\n\r\n"),
    "chunk-size-with-0x": post(b"Transfer-Encoding: chunked", body=b"0x2\r\n{}\r\n0\r\n\r\n"),
    "chunk-size-with-underscore": post(b"Transfer-Encoding: chunked", body=b"0_2\r\n{}\r\n0\r\n\r\n"),
    "chunk-size-empty": post(b"Transfer-Encoding: chunked", body=b"\r\n{}\r\n0\r\n\r\n"),
    "chunk-longer-than-its-size": post(b"Transfer-Encoding: chunked", body=b"2\r\n{}}\r\n0\r\n\r\n"),
    "chunk-without-crlf": post(b"Transfer-Encoding: chunked", body=b"2\r\n{}0\r\n\r\n"),
    "chunk-lines-with-bare-lf": post(b"Transfer-Encoding: chunked", body=b"2\n{}\n0\n\n"),
    "chunk-extension-with-bare-lf": post(b"Transfer-Encoding: chunked", body=b"2;\n{}\r\n0\r\n\r\n"),
    "chunk-extension-with-bare-cr": post(b"Transfer-Encoding: chunked", body=b"2;a\rb\r\n{}\r\n0\r\n\r\n"),
    "chunk-extension-with-nul": post(b"Transfer-Encoding: chunked", body=b"2;a=\x00\r\n{}\r\n0\r\n\r\n"),
    "chunk-extension-of-a-megabyte": post(b"Transfer-Encoding: chunked", body=b"2;" + b"a" * 1_000_000 + b"\r\n{}\r\n0\r\n\r\n"),
    "many-small-chunk-extensions": post(b"Transfer-Encoding: chunked", body=(b"1;" + b"a" * 900 + b"\r\n{\r\n") * 1_000 + b"0\r\n\r\n"),
    "trailer-with-a-bare-lf": post(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\nX: a\n\r\n"),
    "trailer-without-a-name": post(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n: a\r\n\r\n"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_smuggling_shape_is_refused(hub, name):
    """400 or, where the parser cannot tell more, an end; with one answer at most, whatever follows."""
    status, count = answers(hub, REFUSED[name] + SECOND)
    assert status in (400, 431), status
    assert count == 1


def test_a_content_length_hides_what_is_in_it(hub):
    """The second request is the first's body: it is not answered."""
    with Wire(hub) as wire:
        wire.send(post(b"Content-Length: " + str(len(SECOND)).encode(), body=SECOND))
        status, body = wire.answer()
        assert status == 400 and b"invalid_json" in body
        wire.send(request("GET", "/healthz"))
        assert wire.answer()[0] == 200
        assert wire.rest == b""


def test_chunks_hide_what_is_in_them(hub):
    with Wire(hub) as wire:
        wire.send(post(b"Transfer-Encoding: chunked", body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(SECOND), SECOND)))
        assert wire.answer()[0] == 400
        wire.send(request("GET", "/healthz"))
        assert wire.answer()[0] == 200


def test_a_body_that_was_refused_is_no_request(hub):
    """What follows a 413 or 431 may look like a request: nobody reads it."""
    for head in (b"Content-Length: 100000000", b"X: " + b"y" * 90_000):
        status, count = answers(hub, post(head, body=SECOND * 50))
        assert status in (413, 431) and count == 1


def test_a_body_on_get_is_no_second_request(hub):
    with Wire(hub) as wire:
        wire.send(request("GET", "/healthz", f"Content-Length: {len(SECOND)}"), SECOND, request("GET", "/v1/poll?user=after"))
        assert wire.answer()[0] == 200
        status, body = wire.answer()
        assert status == 200 and b"cursor" in body


def test_small_chunk_extensions_are_allowed(hub):
    with Wire(hub) as wire:
        wire.send(post(b"Transfer-Encoding: chunked", body=b'2;a=b;c="d"\r\n{}\r\n0;last\r\nX-Trailer: t\r\n\r\n'))
        assert wire.answer()[0] == 400  # read, and found to be no message
        wire.send(request("GET", "/healthz"))
        assert wire.answer()[0] == 200

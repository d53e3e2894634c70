"""Refusals that say what is wrong; what is not refused is not lost in silence."""

import gzip
import json

import pytest

from clients import RawSSE, WebSocket


def refusal(answer, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    assert answer.text.endswith("}\n")
    return answer.json()["error"]["message"]


@pytest.mark.parametrize("query, says", [
    ("user=a&wiat=1", 'perhaps "wait" is meant'),
    ("user=a&user=b", '"user" is given twice'),
    ("user=a&%75ser=b", '"user" is given twice'),
    ("user=a&zzzzzz", "there are user, device"),
    ("user=a&wait=", "'wait' must be a number from 0 to 60"),
    ("user=a&wait=%2B1", "'wait' must be a number"),
    ("user=a&wait=-0", "'wait' must be a number"),
    ("user=a&limit=0x10", "'limit' must be a number"),
    ("user=a&from=", "'from' must be now"),
    ("user=", "'user' must not be empty"),
    ("user=a%00", "control characters"),
    ("user=a%C2%85", "control characters"),
    ("user=a%E2%80%A8", "line separators"),
    ("user=%ff", "must be UTF-8"),
    ("user=" + "%C3%A9" * 129, "at most 256 bytes; this has 258"),
])
def test_a_query(hub, query, says):
    assert says in refusal(hub.get(f"/v1/poll?{query}"))


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "0x10", "1e1", "", " 1", "9999999999"])
def test_a_heartbeat(hub, value):
    assert "seconds such as 25" in refusal(hub.get("/v1/sse", params={"user": "a", "heartbeat": value}))


def test_what_a_query_may_hold(hub, user):
    for query in ("_=1", "cursor=", "cursor=&_=2", "&&", "wait=0&limit=007"):
        assert hub.get(f"/v1/poll?user={user}&device=d&{query}").status_code == 200, query
    assert hub.get("/healthz?probe=7&probe=8").status_code == 200


def test_publish_takes_no_query(hub):
    body = {"to": {"user": "a"}}
    assert "takes no query parameters" in refusal(hub.http.post(f"{hub.url}/v1/messages?ttl=5", json=body))
    lines = {"Content-Type": "application/x-ndjson"}
    assert "takes no query" in refusal(hub.http.post(f"{hub.url}/v1/messages?ttl=5", content=json.dumps(body), headers=lines))
    assert "takes no query" in refusal(hub.recall(hub.publish("a") + "?force=1"))


def test_a_body_that_is_not_json(hub):
    body = b'{"to":{"user":"a"}}'
    assert "byte order mark" in refusal(hub.post(b"\xef\xbb\xbf" + body))
    assert "UTF-16" in refusal(hub.post(body.decode().encode("utf-16")))
    assert "gzip" in refusal(hub.post(gzip.compress(body)))
    assert "Content-Encoding" in refusal(hub.post(gzip.compress(body), Content_Encoding="gzip"), 415)
    assert hub.post(body, Content_Encoding="identity").status_code == 202


def test_a_batch_with_the_header_of_a_single_message(hub):
    lines = b'{"to":{"user":"a"}}\n'
    message = refusal(hub.post(lines, Content_Type="application/x-ndjson", Idempotency_Key="k"))
    assert "in its lines" in message


def test_a_header_that_is_not_ascii(hub):
    answer = hub.http.post(f"{hub.url}/v1/messages", json={"to": {"user": "a"}}, headers={b"Idempotency-Key": "é".encode()})
    assert "ASCII only" in refusal(answer)


def test_an_ack_by_seq_where_there_is_none(hub, user):
    with RawSSE(hub, user, "d") as client:
        hub.publish(user, data=1)
        client.next()
        answer = hub.ack(user, "d", {"session": client.welcome["session"], "ack": 1})
        assert "ack=explicit" in refusal(answer)
        client.acknowledge()
    with WebSocket(hub, user, "e", ack="none") as client:
        hub.publish(user, data=2)
        client.next()
        client.send({"ack": 1})
        assert "ack=explicit" in client.notice("error")["message"]
        client.wait_ended()


def test_answers_end_with_a_line_break(hub, user):
    published = hub.post({"to": {"user": user}})
    id = published.json()["id"]
    for answer in (
        published, hub.get(f"/v1/messages/{id}"), hub.recall(id), hub.get(f"/v1/poll?user={user}"), hub.get("/healthz"), hub.get("/readyz"),
        hub.get("/nothing"),
    ):
        assert answer.text.endswith("}\n") and answer.text.count("\n") == 1, answer.text


@pytest.mark.parametrize("path, allowed", [
    ("/healthz", "GET, HEAD"), ("/readyz", "GET, HEAD"), ("/openapi.yaml", "GET, HEAD"), ("/martlet.js", "GET, HEAD"), ("/v1/messages", "POST"), ("/v1/poll", "GET"),
    ("/v1/messages/0197f0c4-9c3e-7a51-8e0f-1b2c3d4e5f60", "DELETE, GET, HEAD"),
])
def test_a_method_that_a_path_does_not_take(hub, path, allowed):
    answer = hub.http.request("PATCH", hub.url + path)
    assert "takes" in refusal(answer, 405)
    assert answer.headers["allow"] == allowed


def test_a_status_with_weak_and_several_tags(hub, user):
    path = f"/v1/messages/{hub.publish(user)}"
    tag = hub.get(path).headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = hub.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag), known
    assert hub.get(path, headers={"If-None-Match": '"x"'}).status_code == 200


def test_head_says_how_long_the_answer_to_get_is(hub, user):
    """RFC 9110 §8.6: the same Content-Length, or none, and no body."""
    for path in ("/healthz", "/readyz", "/openapi.yaml", "/metrics", "/", f"/v1/messages/{hub.publish(user)}", "/nothing", "/v1/messages"):
        got, head = hub.get(path), hub.http.head(hub.url + path)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        if path != "/metrics":  # it changes
            assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content)), path
        assert int(head.headers["content-length"]) > 0, path

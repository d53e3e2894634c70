"""GET /v1/stream beyond what every transport does: formats, heartbeats, acks by number, drain, refusals, memory of a page that grows."""

import json
import re
import time

import pytest

from access import Guarded, token
from clients import RawSSE, Refused
from server import Server, unique
from streams import NDJSON, Iframe, Multipart
from topics import options, say

FORMATS = {"ndjson": NDJSON, "multipart": Multipart, "iframe": Iframe}


@pytest.fixture(params=FORMATS, ids=list(FORMATS))
def stream(request):
    return FORMATS[request.param]


def test_the_head(hub, user, stream):
    with stream(hub, user, f"{user}-d1") as client:
        fields = client.head.headers
        assert fields["x-accel-buffering"] == "no" and fields["connection"] == "close" and "no-transform" in fields["cache-control"]
        assert "content-length" not in fields and "transfer-encoding" not in fields and "date" in fields
        assert client.welcome["ack"] == "none" and client.welcome["_id"]


def test_the_head_of_a_page(hub, user):
    with Iframe(hub, user, f"{user}-d1") as client, Iframe(hub, user, f"{user}-d2") as other:
        fields = client.head.headers
        policy = fields["content-security-policy"]
        assert re.fullmatch(
            r"default-src 'none'; script-src 'nonce-[\w-]{22}'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
            r"sandbox allow-scripts allow-same-origin", policy)
        assert policy != other.head.headers["content-security-policy"], "a nonce is for one answer"
        assert fields["x-frame-options"] == "SAMEORIGIN" and fields["x-content-type-options"] == "nosniff"
        assert fields["referrer-policy"] == "no-referrer" and "no-store" in fields["cache-control"]


def test_heartbeats(hub, user, stream):
    with stream(hub, user, f"{user}-d1", heartbeat=1) as client:
        client.notice("hb" if stream is Multipart else ":")
    with stream(hub, user, f"{user}-d1", heartbeat=1, hb="visible") as client:
        client.notice("hb")


def test_acks_by_number(hub, user, stream):
    with stream(hub, user, f"{user}-d1", ack="explicit", window=2) as client:
        assert client.welcome["ack"] == "explicit"
        sent = [hub.publish(user, data=n, priority="high") for n in range(4)]
        assert [client.next()["seq"] for _ in range(2)] == [1, 2]
        client.silent(0.2)  # the window is full
        body = {"session": client.welcome["session"], "ack": [1, 2]}
        assert hub.ack(user, f"{user}-d1", body).status_code == 204
        assert [client.next()["id"] for _ in range(2)] == sent[2:]
        assert hub.device_state(sent[1], f"{user}-d1") == "delivered"


def test_drain_tells_when_to_come_back(tmp_path, stream):
    server = Server(tmp_path / "data", "--limits-subscribe-rate", "0").start()
    try:
        with stream(server, "alice", "a1") as client:
            sent = server.publish("alice", data=1)
            client.next()
            server.terminate()
            assert client.notice("drain")["reconnectAfterMs"] >= 0
            client.wait_ended()
            position = client.position
        server.wait()
        server.restart()
        with stream(server, "alice", "a1", resume=position) as client:
            server.publish("alice", data=2)
            message = client.next()
            assert (message["data"], "redelivered" in message) == (2, False)
        assert server.device_state(sent, "a1") == "delivered"
    finally:
        server.stop()


def test_presence_and_gaps_and_the_place_after_them(hub, stream):
    namespace = unique("few")
    options(hub, namespace, history={"messages": 2}, presence=True)
    topic = f"{namespace}/a"
    with stream(hub, None, None, topics=topic, since="earliest", presence="1") as client:
        assert client.welcome["topics"] == [{"topic": topic, "count": 1}]
        with RawSSE(hub, "bob", "b1", topics=topic):
            joined = client.notice("presence")
            while not joined["joined"]:
                joined = client.notice("presence")
        say(hub, topic, 0)
        client.next()
        position = client.position
    for n in range(1, 6):
        say(hub, topic, n)
    with stream(hub, None, None, resume=position, topics=topic) as client:
        gap = client.notice("gap")
        assert (gap["reason"], gap["topic"]) == ("trimmed", topic)
        assert [m["data"] for m in client.take(2)] == [4, 5]
        position = client.position
    with stream(hub, None, None, resume=position, topics=topic) as client:
        say(hub, topic, 6)
        assert client.next()["data"] == 6
        assert all(name != "gap" for name, _ in client.notices.queue)


def test_a_token_s_end_closes_it_with_its_code(tmp_path, stream):
    server = Guarded(tmp_path / "data").start()
    try:
        with stream(server, None, "a1", token=token(exp=int(time.time()) + 2)) as client:
            assert client.notice("close")["code"] == 4002
            client.wait_ended()
        with stream(server, None, "a1", token=token()) as client:
            server.request("POST", "/v1/users/alice/disconnect", server.key("--scope", "admin"))
            close = client.notice("close")
            assert (close["code"], close["reconnect"]) == (4502, False)
    finally:
        server.stop()


def test_refusals(hub, user):
    def refusal(query: str) -> tuple[int, str]:
        answer = hub.get(f"/v1/stream?{query}")
        return answer.status_code, answer.json()["error"]["code"]

    assert refusal("") == refusal("format=ndjson") == (401, "unauthorized")
    who = f"user={user}&device=d"
    for bad in ("format=xml", "format=", "format=iframe", "callback=cb", "format=multipart&callback=cb", "format=iframe&callback=a..b",
                "format=iframe&callback=opener.x", "topic=a", "window=0", "format=ndjson&format=iframe"):
        assert refusal(f"{who}&{bad}") == (400, "bad_request"), bad
    assert refusal(f"{who}&cursor=x") == (400, "invalid_cursor")
    answer = hub.http.post(f"{hub.url}/v1/stream?{who}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_a_page_is_told_of_a_refusal(hub):
    answer = hub.get("/v1/stream?format=iframe&callback=app.push")
    assert (answer.status_code, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
    nonce = re.search(r"'nonce-([\w-]{22})'", answer.headers["content-security-policy"])[1]
    call = re.search(rf'<script nonce="{nonce}">m\((".*")\)</script>\n$', answer.text)
    assert json.loads(json.loads(call[1]))["error"]["code"] == "unauthorized"
    with pytest.raises(Refused) as refused:
        Iframe(hub, None, None)
    assert refused.value.status == 401


def test_an_exchange_changes_the_topics_of_a_live_stream(hub, user, stream):
    device = f"{user}-d1"
    with stream(hub, user, device) as client:
        answer = hub.http.post(f"{hub.url}/v1/exchange", params={"user": user, "device": device}, json={"subscribe": f"{user}/a"})
        assert answer.json()["live"] is True
        (subscribed,) = client.notice("subscribed")
        assert subscribed["topic"] == f"{user}/a"
        assert ("cursor" in subscribed) == (stream is not Multipart), "there it is a field of the part"
        say(hub, f"{user}/a", 1)
        assert client.next()["data"] == 1
        hub.http.post(f"{hub.url}/v1/exchange", params={"user": user, "device": device}, json={"unsubscribe": f"{user}/a"})
        assert client.notice("unsubscribed") == [{"topic": f"{user}/a", "reason": "requested"}]

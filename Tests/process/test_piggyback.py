"""What waits for a client, in the header of an answer at a bridge's path."""

import base64
import json

import pytest

from access import Guarded, bearer, token
from clients import RawSSE
from server import Server, wait_until
from upstream import Upstream


@pytest.fixture
def upstream():
    with Upstream() as upstream:
        yield upstream


def options(upstream: Upstream, access: str = "token") -> list[str]:
    return [
        "--limits-subscribe-rate", "0", "--bridge-allowed-hosts", upstream.host, "--bridges-scores-url", upstream.url + "/scores",
        "--bridges-scores-topic", "live/scores", "--bridges-scores-path", "/feed/scores", "--bridges-scores-interval", "60s",
        "--bridges-scores-access", access,
    ]


@pytest.fixture
def server(tmp_path, upstream):
    server = Server(tmp_path / "data", "--drain-seconds", "2", *options(upstream)).start()
    yield server
    server.stop()


def get(server: Server, user: str, cursor: str = "none", **headers: str):
    return server.get("/feed/scores", params={"user": user, "device": f"{user}-1"}, headers={"Martlet-Cursor": cursor} | headers)


def exchange(answer) -> dict:
    text = answer.headers["martlet-exchange"]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_messages_come_with_the_answer_and_a_cursor_acks_them(server, user):
    first = server.publish(user, data={"n": 1})
    answer = get(server, user)
    assert (answer.status_code, answer.content, answer.headers["cache-control"]) == (200, b"0", "no-store")
    said = exchange(answer)
    assert [message["data"] for message in said["messages"]] == [{"n": 1}]
    # Presenting the cursor acks it; what is new comes.
    server.publish(user, data="ü")
    again = exchange(get(server, user, said["cursor"]))
    assert [message["data"] for message in again["messages"]] == ["ü"]
    wait_until(lambda: server.device_state(first, f"{user}-1") == "delivered", what="delivered")
    assert exchange(get(server, user, again["cursor"]))["messages"] == []


def test_an_answer_that_did_not_change_brings_them_too(server, user):
    tag = get(server, user).headers["etag"]
    server.publish(user, data=1)
    answer = get(server, user, **{"If-None-Match": tag})
    assert answer.status_code == 304
    assert [message["data"] for message in exchange(answer)["messages"]] == [1]


def test_who_does_not_ask_gets_none(server, user):
    server.publish(user, data=1)
    answer = server.get("/feed/scores", params={"user": user, "device": "d"})
    assert not [name for name in answer.headers if name.startswith("martlet-")]
    assert answer.headers["cache-control"] == "private, no-cache" and "Martlet-Cursor" in answer.headers["vary"]


def test_what_is_too_large_for_a_header_is_told_and_stays(server, user):
    server.publish(user, data="x" * 20_000)
    answer = get(server, user)
    assert answer.status_code == 200 and answer.headers["martlet-pending"] == "true" and "martlet-exchange" not in answer.headers
    full = server.http.post(server.url + "/v1/exchange", params={"user": user, "device": f"{user}-1"}, json={})
    assert [len(message["data"]) for message in full.json()["messages"]] == [20_000]


def test_many_come_in_parts(server, user):
    for number in range(200):
        server.publish(user, data={"n": number, "filler": "x" * 60})
    got, cursor = [], "none"
    while len(got) < 200:
        answer = get(server, user, cursor)
        assert len(answer.headers["martlet-exchange"]) <= 8_000
        said = exchange(answer)
        assert said["messages"]
        got += [message["data"]["n"] for message in said["messages"]]
        cursor = said["cursor"]
    assert got == list(range(200))


def test_beside_a_live_session_they_go_there(server, user):
    with RawSSE(server, user, f"{user}-1") as live:
        said = exchange(get(server, user))
        assert said["messages"] == [] and said["live"]
        server.publish(user, data=1)
        assert live.next()["data"] == 1


@pytest.mark.parametrize("cursor", ["rubbish", "A" * 600])
def test_a_bad_cursor_does_not_spoil_the_answer(server, user, cursor):
    answer = get(server, user, cursor)
    assert (answer.status_code, answer.content, answer.headers["martlet-error"]) == (200, b"0", "invalid_cursor")


@pytest.mark.parametrize("access", ["token", "public"])
def test_in_production_it_is_the_tokens_user(tmp_path, upstream, access):
    server = Guarded(tmp_path / "data", *options(upstream, access)).start()
    try:
        key = server.key("--scope", "publish,read")
        assert server.request("POST", "/v1/messages", key, json={"to": {"user": "alice"}, "data": "hers"}).status_code == 202
        path = "/feed/scores?device=d1"
        hers = server.request("GET", path, token("alice", topics=["live/scores"]), headers={"Martlet-Cursor": "none"})
        assert [message["data"] for message in exchange(hers)["messages"]] == ["hers"]
        assert exchange(server.request("GET", "/feed/scores?device=d2", token("bob", topics=["live/scores"]), headers={"Martlet-Cursor": "none"}))["messages"] == []
        # Also where the answer itself is for everybody.
        assert server.get("/feed/scores", headers={"Martlet-Cursor": "none"}).status_code == 401
        assert server.status_of("GET", path, headers={"Martlet-Cursor": "none"} | bearer(key))[0] == 401
    finally:
        server.stop()

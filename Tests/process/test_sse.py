"""GET /v1/sse beyond what every transport does."""

import time

import pytest

from clients import RawSSE, Refused


def test_the_answers_head(hub, user):
    with RawSSE(hub, user, f"{user}-d1") as client:
        headers = client.head.headers
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["connection"].lower() == "close"
    assert "transfer-encoding" not in headers
    assert "content-length" not in headers


def test_the_welcome(hub, user):
    with RawSSE(hub, user, f"{user}-d1") as client:
        welcome = client.welcome
    assert welcome["session"]
    assert welcome["ack"] == "none"
    assert welcome["heartbeatMs"] == 25_000
    assert welcome["window"] == {"messages": 64, "bytes": 65_536}
    assert 500 <= welcome["retryMs"] <= 3_000
    assert welcome["_retry"] == welcome["retryMs"]
    assert abs(welcome["serverTime"] - time.time() * 1000) < 2_000
    assert (welcome["user"], welcome["device"]) == (user, f"{user}-d1")
    assert 0 < len(welcome["_id"]) <= 512


def test_retry_hints_spread(hub, user):
    hints = set()
    for n in range(6):
        with RawSSE(hub, user, f"{user}-{n}") as client:
            hints.add(client.welcome["retryMs"])
    assert len(hints) > 1


def test_seq_comes_with_explicit_acks_only(hub, user):
    with RawSSE(hub, user, f"{user}-d1") as none, RawSSE(hub, user, f"{user}-d2", ack="explicit") as explicit:
        assert (none.welcome["ack"], explicit.welcome["ack"]) == ("none", "explicit")
        for n in range(2):
            hub.publish(user, data=n)
        assert [message.get("seq") for message in none.take(2)] == [None, None]
        assert [message["seq"] for message in explicit.take(2)] == [1, 2]


def test_the_window_holds_back_what_is_not_acked(hub, user):
    with RawSSE(hub, user, f"{user}-d1", ack="explicit", window=4) as client:
        assert client.welcome["window"]["messages"] == 4
        for n in range(10):
            hub.publish(user, data=n, priority="high")
        first = client.take(4)
        client.silent(0.2)
        answer = hub.ack(user, f"{user}-d1", {"session": client.welcome["session"], "ack": first[1]["seq"]})
        assert answer.status_code == 204
        assert client.data(2) == [4, 5]
        client.silent(0.1)


def test_the_window_leaves_room_for_urgent_ones(hub, user):
    with RawSSE(hub, user, f"{user}-d1", ack="explicit", window=8) as client:
        for n in range(10):
            hub.publish(user, data=f"low {n}", priority="low")
        client.take(4)  # half of the window
        client.silent(0.2)
        for n in range(10):
            hub.publish(user, data=f"medium {n}")
        client.take(2)  # three quarters
        client.silent(0.2)
        hub.publish(user, data="high", priority="high")
        assert client.next()["data"] == "high"


def test_a_large_message_goes_when_nothing_else_is_in_flight(hub, user):
    with RawSSE(hub, user, f"{user}-d1", ack="explicit") as client:
        hub.publish(user, data="small")
        hub.publish(user, data="x" * 65_000)
        small = client.next()
        hub.ack(user, f"{user}-d1", {"session": client.welcome["session"], "ack": small["seq"]})
        assert len(client.next()["data"]) == 65_000


def test_resumes_by_last_event_id_and_by_query(hub, user):
    with RawSSE(hub, user, f"{user}-d1") as client:
        for n in range(2):
            hub.publish(user, data=n)
        position = client.take(2)[0]["_position"]
    with RawSSE(hub, user, f"{user}-d1", cursor=position) as client:
        message = client.next()
        assert (message["data"], message["redelivered"]) == (1, True)


def test_from_now_skips_the_past_once(hub, user):
    hub.publish(user, data="past")
    with RawSSE(hub, user, f"{user}-d1", **{"from": "now"}) as client:
        client.silent(0.2)
    hub.publish(user, data="between")
    with RawSSE(hub, user, f"{user}-d1", **{"from": "now"}) as client:
        assert client.next()["data"] == "between"


def test_heartbeats_are_comments(hub, user):
    with RawSSE(hub, user, f"{user}-d1", heartbeat=1) as client:
        assert client.welcome["heartbeatMs"] == 1_000
        begin = time.monotonic()
        client.notice(":", 3)
        client.notice(":", 3)
        assert 1.2 < time.monotonic() - begin < 4


def test_heartbeats_can_be_seen_by_javascript(hub, user):
    with RawSSE(hub, user, f"{user}-d1", heartbeat=1, hb="visible") as client:
        assert client.notice("hb", 3) == {}


def test_no_heartbeat_while_messages_flow(hub, user):
    with RawSSE(hub, user, f"{user}-d1", heartbeat=1) as client:
        end = time.monotonic() + 2.2
        while time.monotonic() < end:
            hub.publish(user, data=1)
            client.next()
            time.sleep(0.1)
        assert client.notices.empty()


def test_an_eventsource_that_was_taken_over_is_told_to_stop(hub, user):
    with RawSSE(hub, user, f"{user}-d1") as first:
        hub.publish(user, data=1)
        position = first.next()["_position"]
        with RawSSE(hub, user, f"{user}-d1") as second:
            assert first.notice("close") == {"code": 4500, "reason": "taken over", "reconnect": False}
            first.wait_ended()
            with pytest.raises(Refused) as refused:
                RawSSE(hub, user, f"{user}-d1", resume=position)
            assert refused.value.status == 204
            hub.publish(user, data=2)
            second.take(2)
            # Asked for by a person (a cursor in the query), it may take over again.
            with RawSSE(hub, user, f"{user}-d1", cursor=position) as third:
                assert second.notice("close")["code"] == 4500
                hub.publish(user, data=3)
                assert third.data(2)[-1] == 3


def test_a_connection_that_is_merely_lost_may_come_back(hub, user):
    with RawSSE(hub, user, f"{user}-d1") as first:
        hub.publish(user, data=1)
        position = first.next()["_position"]
    for _ in range(3):
        with RawSSE(hub, user, f"{user}-d1", resume=position) as again:
            position = again.welcome["_id"]


@pytest.mark.parametrize("cursor", ["garbage", "AQ", "AAAA", "%00", "x" * 513, "é", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="])
def test_garbage_cursors_are_refused(hub, user, cursor):
    for query, headers in ((f"&cursor={cursor}", {}), ("", {"Last-Event-ID": cursor})):
        answer = hub.get(f"/v1/sse?user={user}&device={user}-d1{query}", headers={k: v.encode() for k, v in headers.items()})
        assert answer.status_code == 400, (cursor, query)
        assert answer.json()["error"]["code"] == "invalid_cursor"


def test_a_cursor_of_another_history_gives_a_gap(hub, server, user):
    with RawSSE(server, user, f"{user}-d1") as client:
        server.publish(user, data="elsewhere")
        position = client.next()["_position"]
    hub.publish(user, data="here")
    with RawSSE(hub, user, f"{user}-d1", resume=position) as client:
        assert client.notice("gap")["reason"] == "epoch"
        assert client.next()["data"] == "here"


@pytest.mark.parametrize("query", [
    "", "device=d1&user=", "user=u&ack=maybe", "user=u&heartbeat=x", "user=u&window=0", "user=u&window=x", "user=u&from=then", "user=u&hb=loud",
    "user=%00", "user=a%0ab", "user=" + "u" * 257, "user=%ff",
])
def test_bad_queries(hub, query):
    with hub.http.stream("GET", hub.url + "/v1/sse?" + query) as answer:
        if answer.status_code == 200:
            raise AssertionError(f"{query} was taken")
        answer.read()
        status, code = (401, "unauthorized") if query == "" else (400, "bad_request")
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_an_old_cursor_never_rewinds(hub, user):
    with RawSSE(hub, user, f"{user}-d1") as client:
        old = client.welcome["_id"]
        for n in range(3):
            hub.publish(user, data=n)
        client.take(3)
        client.acknowledge()
    with RawSSE(hub, user, f"{user}-d1", cursor=old) as client:
        hub.publish(user, data=3)
        assert client.next()["data"] == 3

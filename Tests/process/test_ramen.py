"""Uber's RAMEN protocol: design.md section 5, docs/protocol.md "RAMEN"."""

import pytest

from clients import Ramen, Refused


def ack(hub, user, device, seq):
    return hub.get("/ramen/ack", params={"seq": seq, "user": user, "device": device})


def test_seq_rises_with_descending_priority(hub, user):
    for n, priority in enumerate(("low", "medium", "high", "low", "high")):
        hub.publish(user, data=n, priority=priority)
    with Ramen(hub, user, f"{user}-d1") as client:
        messages = client.take(5)
    assert [m["data"] for m in messages] == [2, 4, 1, 0, 3]
    numbers = [m["seq"] for m in messages]
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= 1
    assert [m["_position"] for m in messages] == [str(seq) for seq in numbers]


def test_seq_outlives_the_connection_and_the_process(server):
    largest = 0
    for attempt in range(3):
        with Ramen(server, "alice", "d1", resume=largest) as client:
            server.publish("alice", data=attempt)
            seq = client.next()["seq"]
            assert seq > largest
            largest = seq
        server.kill9()
        server.restart()


def test_reconnecting_acks_up_to_the_largest_seen_and_sends_the_rest(hub, user):
    with Ramen(hub, user, f"{user}-d1") as client:
        sent = [hub.publish(user, data=n) for n in range(4)]
        messages = client.take(4)
    with Ramen(hub, user, f"{user}-d1", resume=messages[1]["seq"]) as client:
        again = client.take(2)
        assert [m["data"] for m in again] == [2, 3]
        assert all(m["redelivered"] for m in again)
        assert all(m["seq"] > messages[-1]["seq"] for m in again)
        assert hub.device_state(sent[1], f"{user}-d1") == "delivered"


def test_a_more_urgent_message_comes_first_after_reconnecting(hub, user):
    with Ramen(hub, user, f"{user}-d1") as client:
        for n in range(3):
            hub.publish(user, data=n)
        seq = client.take(3)[0]["seq"]
    hub.publish(user, data="urgent", priority="high")
    with Ramen(hub, user, f"{user}-d1", resume=seq) as client:
        assert client.data(3) == ["urgent", 1, 2]


def test_an_ack_call_moves_the_position(hub, user):
    with Ramen(hub, user, f"{user}-d1") as client:
        sent = [hub.publish(user, data=n) for n in range(3)]
        messages = client.take(3)
        assert ack(hub, user, f"{user}-d1", messages[1]["seq"]).status_code == 204
        assert hub.device_state(sent[0], f"{user}-d1") == "delivered"
        assert hub.device_state(sent[2], f"{user}-d1") == "sent"
    with Ramen(hub, user, f"{user}-d1") as client:
        assert client.next()["data"] == 2


def test_an_ack_call_works_without_a_session(hub, user):
    with Ramen(hub, user, f"{user}-d1") as client:
        hub.publish(user, data=1)
        seq = client.next()["seq"]
    assert ack(hub, user, f"{user}-d1", seq).status_code == 204
    with Ramen(hub, user, f"{user}-d1") as client:
        hub.publish(user, data=2)
        assert client.next()["data"] == 2


def test_last_event_id_counts_as_seq(hub, user):
    with Ramen(hub, user, f"{user}-d1") as client:
        for n in range(3):
            hub.publish(user, data=n)
        messages = client.take(3)

    class Browser(Ramen):
        def _headers(self):
            return {"Last-Event-ID": str(messages[1]["seq"])}

    with Browser(hub, user, f"{user}-d1") as client:
        assert client.next()["data"] == 2


def test_a_number_never_issued_is_refused_and_acks_nothing(hub, user):
    with Ramen(hub, user, f"{user}-d1") as client:
        hub.publish(user, data=1)
        client.next()
    with pytest.raises(Refused) as refused:
        Ramen(hub, user, f"{user}-d1", resume=1_000_000)
    assert refused.value.status == 400
    assert "seq_unknown" in refused.value.body
    answer = ack(hub, user, f"{user}-d1", 1_000_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "seq_unknown")
    with Ramen(hub, user, f"{user}-d1") as client:
        message = client.next()
        assert (message["data"], message["redelivered"]) == (1, True)


def test_bad_queries(hub, user):
    for query in ("", "seq=x", "seq=-1", "seq=99999999999999999999999"):
        answer = hub.get(f"/ramen/ack?user={user}&device={user}-d1&{query}")
        assert answer.status_code == 400, query
        assert answer.json()["error"]["code"] in ("bad_request", "seq_unknown")


def test_heartbeats_every_4_seconds(hub, user):
    with Ramen(hub, user, f"{user}-d1") as client:
        assert client.welcome["heartbeatMs"] == 4_000
        assert client.welcome["ack"] == "none"
    with Ramen(hub, user, f"{user}-d1", heartbeat=1) as client:
        client.notice(":", 3)
    with Ramen(hub, user, f"{user}-d1", heartbeat=1, hb="visible") as client:
        client.notice("hb", 3)

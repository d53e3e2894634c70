"""The delivery rules, each on every transport of transports.py."""

import json
import time

from clients import RawSSE


def test_receives_what_waited_and_what_comes_live(hub, user, transport):
    waiting = [hub.publish(user, data=n) for n in range(2)]
    with transport(hub, user, f"{user}-d1") as client:
        first = client.take(2)
        assert [m["id"] for m in first] == waiting
        live = [hub.publish(user, data=n) for n in range(2, 5)]
        then = client.take(3)
        assert [m["id"] for m in then] == live
        assert [m["data"] for m in first + then] == [0, 1, 2, 3, 4]


def test_a_message_has_its_members_and_no_others(hub, user, transport):
    before = time.time() * 1000 - 1000
    with transport(hub, user, f"{user}-d1") as client:
        sent = hub.publish(user, type="trip.updated", data={"trip": 42}, notification={"title": "Here"}, priority="high")
        message = client.next()
    assert message["id"] == sent
    assert message["type"] == "trip.updated"
    assert message["data"] == {"trip": 42}
    assert message["notification"] == {"title": "Here"}
    assert message["priority"] == "high"
    assert before < message["at"] < time.time() * 1000 + 1000
    assert "redelivered" not in message
    assert set(message) - {"_raw", "_position", "seq", "cursor"} == {"id", "at", "type", "data", "notification", "priority"}


def test_data_passes_byte_for_byte(hub, user, transport):
    data = '{"z":12345678901234567890.0100,"a":"\\u00e9 é 🐦 <b>","nested":[ 1,2 ,{}],\n "second":"line"}'
    with transport(hub, user, f"{user}-d1") as client:
        answer = hub.post('{"to":{"user":"%s"},"type":"raw","data":%s}' % (user, data))
        assert answer.status_code == 202, answer.text
        message = client.next()
    assert message["data"] == json.loads(data)
    if not client.polls:  # there the message is not seen as text of its own
        assert data.replace("\n", client.line_break) in message["_raw"]


def test_resumes_after_the_presented_position(hub, user, transport):
    query = {"limit": 1, "automatic": False} if transport.polls else {}
    with transport(hub, user, f"{user}-d1", **query) as client:
        for n in range(3):
            hub.publish(user, data=n)
        client.next()
        if transport.polls:
            client.acknowledge()
        client.next()
        position = client.position
        if not transport.polls:
            client.next()  # it was sent, but the client comes back as one that had not seen it
    for n in range(3, 5):
        hub.publish(user, data=n)
    with transport(hub, user, f"{user}-d1", resume=position) as client:
        messages = client.take(3)
        client.silent(0.1)
    assert [m["data"] for m in messages] == [2, 3, 4]
    if not transport.polls:
        assert messages[0].get("redelivered") is True
    assert "redelivered" not in messages[2]


def test_what_was_not_acked_comes_again_marked(hub, user, transport):
    query = {"automatic": False} if transport.polls else {}
    with transport(hub, user, f"{user}-d1", **query) as client:
        for n in range(3):
            hub.publish(user, data=n)
        got = [client.next()]
        if not transport.polls:
            got += client.take(2)
    with transport(hub, user, f"{user}-d1") as client:
        again = client.take(3)
    assert [m["data"] for m in again] == [0, 1, 2]
    for message in again[: len(got)]:
        assert message.get("redelivered") is True


def test_what_was_acked_does_not_come_again(hub, user, transport):
    with transport(hub, user, f"{user}-d1") as client:
        for n in range(3):
            hub.publish(user, data=n)
        client.take(3)
        client.acknowledge()
    with transport(hub, user, f"{user}-d1") as client:
        hub.publish(user, data="next")
        message = client.next()
    assert message["data"] == "next"
    assert "redelivered" not in message


def test_an_ack_makes_it_delivered(hub, user, transport):
    with transport(hub, user, f"{user}-d1") as client:
        sent = hub.publish(user, data=1)
        client.next()
        client.acknowledge()
        answer = hub.get(f"/v1/messages/{sent}").json()
    (device,) = answer["devices"]
    assert device["device"] == f"{user}-d1"
    assert device["state"] == "delivered"
    assert device["deliveredAt"] >= answer["at"]
    assert answer["counts"] == {"delivered": 1}


def test_urgent_messages_overtake_a_backlog(hub, user, transport):
    for n in range(30):
        hub.publish(user, data=f"low {n}", priority="low")
    for n in range(3):
        hub.publish(user, data=f"medium {n}")
    hub.publish(user, data="high", priority="high")
    expected = ["high"] + [f"medium {n}" for n in range(3)] + [f"low {n}" for n in range(30)]
    with transport(hub, user, f"{user}-d1") as client:
        got = []
        while len(got) < len(expected):
            got.append(client.next()["data"])
            if client.welcome.get("ack") == "explicit":
                client.acknowledge()
    assert got == expected


def test_expired_messages_are_not_sent(hub, user, transport):
    hub.publish(user, data="gone", ttl=1)
    time.sleep(1.2)  # the thing under test is the passing of time
    hub.publish(user, data="marker")
    with transport(hub, user, f"{user}-d1") as client:
        assert client.next()["data"] == "marker"


def test_ttl_0_reaches_who_is_connected_and_nobody_later(hub, user, transport):
    with transport(hub, user, f"{user}-d1") as client:
        hub.publish(user, data="first")
        assert client.next()["data"] == "first"
        if transport.polls:
            time.sleep(0.3)  # connected again: between two polls nobody is
        hub.publish(user, data="now", ttl=0)
        if transport.takes_over:
            assert client.next()["data"] == "now"
    with transport(hub, user, f"{user}-d2") as late:
        assert late.next()["data"] == "first"
        late.silent(0.2)


def test_a_collapse_key_leaves_the_newest(hub, user, transport):
    for n in range(3):
        hub.publish(user, data=f"position {n}", collapseKey="position")
        hub.publish(user, data=f"other {n}")
    with transport(hub, user, f"{user}-d1") as client:
        assert client.data(4) == ["position 2", "other 0", "other 1", "other 2"]
        client.silent(0.1)


def test_a_recalled_message_is_not_sent(hub, user, transport):
    sent = hub.publish(user, data="mistake")
    hub.publish(user, data="marker")
    answer = hub.recall(sent)
    assert (answer.status_code, answer.json()) == (200, {"id": sent, "state": "recalled"})
    with transport(hub, user, f"{user}-d1") as client:
        assert client.next()["data"] == "marker"


def test_a_recalled_message_is_not_redelivered(hub, user, transport):
    query = {"automatic": False} if transport.polls else {}
    with transport(hub, user, f"{user}-d1", **query) as client:
        sent = hub.publish(user, data="mistake")
        client.next()
    assert hub.recall(sent).status_code == 200
    hub.publish(user, data="marker")
    with transport(hub, user, f"{user}-d1") as client:
        assert client.next()["data"] == "marker"


def test_a_broadcast_reaches_every_device_of_everybody(server, transport):
    with transport(server, "alice", "a1") as one, transport(server, "alice", "a2") as two, transport(server, "bob", "b1") as three:
        server.publish(to={"all": True}, data="everyone")
        assert [client.next()["data"] for client in (one, two, three)] == ["everyone"] * 3
        for client in (one, two, three):
            client.silent(0.05)


def test_a_message_to_a_device_reaches_it_alone(hub, user, transport):
    mine, other = f"{user}-phone", f"{user}-tablet"
    with transport(hub, user, mine) as one, transport(hub, user, other) as two:
        hub.publish(to={"device": mine}, data="for the phone")
        hub.publish(user, data="for both")
        assert one.data(2) == ["for the phone", "for both"]
        assert two.data(1) == ["for both"]


def test_several_users_and_devices_at_once(hub, user, transport):
    with transport(hub, f"{user}-1", f"{user}-d1") as one, transport(hub, f"{user}-2", f"{user}-d2") as two:
        hub.publish(to={"users": [f"{user}-1", f"{user}-2"]}, data="users")
        assert one.data(1) == two.data(1) == ["users"]
        hub.publish(to={"devices": [f"{user}-d2"]}, data="devices")
        assert two.data(1) == ["devices"]
        one.silent(0.1)


def test_a_second_session_takes_over(hub, user, transport):
    if not transport.takes_over:
        return check_it_stands_beside(hub, user, transport)
    with transport(hub, user, f"{user}-d1") as first:
        with transport(hub, user, f"{user}-d1") as second:
            assert first.notice("close")["code"] == 4500
            first.wait_ended()
            hub.publish(user, data="to the second")
            assert second.next()["data"] == "to the second"
            first.silent(0.05)


def check_it_stands_beside(hub, user, transport):
    """A live session of the device goes on, and gets what there is."""
    with RawSSE(hub, user, f"{user}-d1") as live, transport(hub, user, f"{user}-d1") as client:
        sent = hub.publish(user, data="to the live one")
        assert live.next()["id"] == sent
        client.silent(0.3)
        assert not live.ended.is_set()


def test_nobody_reads_another_users_inbox(hub, user, transport):
    with transport(hub, f"{user}-a", f"{user}-1") as alice, transport(hub, f"{user}-b", f"{user}-2") as bob:
        hub.publish(f"{user}-a", data="for alice")
        hub.publish(f"{user}-b", data="for bob")
        assert alice.data(1) == ["for alice"]
        assert bob.data(1) == ["for bob"]
        alice.silent(0.05)
        bob.silent(0.05)


def test_a_foreign_cursor_gives_a_gap_and_loses_nothing(hub, user, transport):
    if transport.path == "/ramen/receive":
        return check_ramen_has_no_foreign_positions(hub, user, transport)
    for n in range(3):
        hub.publish(f"{user}-alice", data=f"alice {n}")
        hub.publish(f"{user}-bob", data=f"bob {n}")
    with transport(hub, f"{user}-alice", f"{user}-d1") as client:
        client.take(3)
        position = client.position
    with transport(hub, f"{user}-bob", f"{user}-d2", resume=position) as client:
        assert client.notice("gap")["reason"] == "owner"
        assert client.data(3) == ["bob 0", "bob 1", "bob 2"]


def check_ramen_has_no_foreign_positions(hub, user, transport):
    """A number is the device's own: on another device it was never issued."""
    with transport(hub, user, f"{user}-d1") as client:
        hub.publish(user, data=1)
        client.next()
    answer = hub.get(f"/ramen/receive?seq=99999999&user={user}&device={user}-d2")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "seq_unknown"


def test_a_device_without_a_name_starts_now(hub, user, transport):
    if transport.path == "/ramen/receive":
        answer = hub.get(f"/ramen/receive?seq=0&user={user}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
        return
    hub.publish(user, data="before")
    with transport(hub, user, None) as client:
        hub.publish(user, data="after")
        assert client.next()["data"] == "after"


def test_order_holds_in_each_lane_under_load(hub, user, transport):
    lines = [
        json.dumps({"to": {"user": user}, "type": "t", "data": n, "priority": ("high", "medium", "low")[n % 3]}) for n in range(600)
    ]
    with transport(hub, user, f"{user}-d1") as client:
        assert hub.batch(lines[:300]).status_code == 202
        assert hub.batch(lines[300:]).status_code == 202
        lanes = {0: [], 1: [], 2: []}
        for _ in range(600):
            message = client.next()
            assert "redelivered" not in message
            lanes[message["data"] % 3].append(message["data"])
            if client.welcome.get("ack") == "explicit":
                client.send({"ack": message["seq"]})
    for lane, got in lanes.items():
        assert got == list(range(lane, 600, 3))


def test_a_device_that_changes_hands_skips_nothing(hub, user, transport):
    alice, bob, device = f"{user}-alice", f"{user}-bob", f"{user}-phone"
    for n in range(5):
        hub.publish(bob, data=f"bob {n}")
        hub.publish(alice, data=f"alice {n}")
    with transport(hub, alice, device) as client:
        client.take(5)
        client.acknowledge()
        position = client.position
    with transport(hub, bob, device, resume=position) as client:
        assert client.data(5) == [f"bob {n}" for n in range(5)]


def test_large_batches_to_a_connected_device_arrive_whole(hub, user, transport):
    """More than a window at once, several times: no wake-up is lost on the way to the log and back."""
    lines = [json.dumps({"to": {"user": user}, "type": "t", "data": n, "ttl": 60}) for n in range(1_501)]
    with transport(hub, user, f"{user}-d1") as client:
        for _ in range(6):
            assert hub.batch(lines).status_code == 202
            for n in range(1_501):
                assert client.next()["data"] == n
                if client.welcome.get("ack") == "explicit":
                    client.send({"ack": client.last["seq"]})

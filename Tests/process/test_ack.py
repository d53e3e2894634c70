"""POST /v1/ack."""

import time

from clients import RawSSE, WebSocket, shut


def error(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_by_cursor_without_a_session(hub, user):
    with RawSSE(hub, user, f"{user}-d1") as client:
        sent = [hub.publish(user, data=n) for n in range(3)]
        position = client.take(2)[1]["_position"]
    answer = hub.ack(user, f"{user}-d1", {"cursor": position})
    assert (answer.status_code, answer.content) == (204, b"")
    assert hub.device_state(sent[1], f"{user}-d1") == "delivered"
    assert hub.device_state(sent[2], f"{user}-d1") != "delivered"
    assert hub.ack(user, f"{user}-d1", {"cursor": position}).status_code == 204


def test_by_seq_and_by_single_numbers(hub, user):
    with RawSSE(hub, user, f"{user}-d1", ack="explicit") as client:
        session = client.welcome["session"]
        sent = [hub.publish(user, data=n) for n in range(5)]
        client.take(5)
        assert hub.ack(user, f"{user}-d1", {"session": session, "ack": 2}).status_code == 204
        assert hub.ack(user, f"{user}-d1", {"session": session, "ack": [4, 3]}).status_code == 204
        states = [hub.device_state(message, f"{user}-d1") for message in sent]
    assert states == ["delivered"] * 4 + ["sent"]


def test_it_survives_a_crash(server):
    with RawSSE(server, "alice", "d1") as client:
        for n in range(3):
            server.publish("alice", data=n)
        client.take(3)
        client.acknowledge()
    with RawSSE(server, "alice", "d1") as client:
        server.publish("alice", data=3)
        assert client.next()["data"] == 3
        client.acknowledge()

    time.sleep(1.2)  # positions are recorded within a second
    server.kill9()
    server.restart()
    server.publish("alice", data=4)
    with RawSSE(server, "alice", "d1") as client:
        assert client.next()["data"] == 4


def test_errors(hub, user):
    with RawSSE(hub, user, f"{user}-d1", ack="explicit") as client:
        hub.publish(user, data=1)
        client.next()
        session = client.welcome["session"]
        assert error(hub.ack(user, f"{user}-d1", {"cursor": "garbage"})) == (400, "invalid_cursor")
        assert error(hub.ack(user, f"{user}-d1", {"session": "nobody", "ack": 1})) == (404, "session_unknown")
        assert error(hub.ack(user, f"{user}-d2", {"session": session, "ack": 1})) == (404, "session_unknown")
        assert error(hub.ack(user, f"{user}-d1", {"session": session, "ack": 99})) == (400, "seq_unknown")
        for body in ({}, {"cursor": 7}, {"session": session}, {"ack": 1}, {"session": session, "ack": "x"}, {"cursor": "", "more": 1}):
            status, code = error(hub.ack(user, f"{user}-d1", body))
            assert status == 400 and code in ("bad_request", "invalid_cursor"), body
        answer = hub.http.post(f"{hub.url}/v1/ack?user={user}&device={user}-d1", content="{")
        assert error(answer) == (400, "invalid_json")
        answer = hub.http.post(f"{hub.url}/v1/ack?user={user}", json={"cursor": client.position})
        assert error(answer) == (400, "bad_request")


def test_another_devices_cursor_is_not_taken(hub, user):
    with RawSSE(hub, user, f"{user}-d1") as one:
        sent = hub.publish(user, data=1)
        position = one.next()["_position"]
    with RawSSE(hub, user, f"{user}-d2"):
        pass
    hub.ack(user, f"{user}-d2", {"cursor": position})
    # The user's lanes are the same user's; what counts is that nothing of another owner moves.
    with RawSSE(hub, f"{user}-other", f"{user}-d3"):
        pass
    hub.publish(f"{user}-other", data="theirs")
    hub.ack(f"{user}-other", f"{user}-d3", {"cursor": position})
    with RawSSE(hub, f"{user}-other", f"{user}-d3") as client:
        assert client.next()["data"] == "theirs"
    assert hub.device_state(sent, f"{user}-d1") == "sent"


def test_an_ack_beside_a_live_session_opens_its_window(hub, user):
    with WebSocket(hub, user, f"{user}-d1", window=2) as client:
        for n in range(4):
            hub.publish(user, data=n, priority="high")
        client.take(2)
        client.silent(0.1)
        assert hub.ack(user, f"{user}-d1", {"cursor": client.position}).status_code == 204
        assert client.data(2) == [2, 3]


def test_an_answered_ack_is_not_lost_when_the_connection_ends_meanwhile(hub, user):
    """`204` means taken, also if the device's session ends in the same moment."""
    lost = []
    for n in range(100):
        name = f"{user}-{n}"
        client = RawSSE(hub, name, name)
        sent = hub.publish(name, data=n)
        position = client.next()["_position"]
        shut(client.socket)
        assert hub.ack(name, name, {"cursor": position}).status_code == 204
        if hub.device_state(sent, name) != "delivered":
            lost.append(n)
    assert not lost

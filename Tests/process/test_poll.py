"""GET /v1/poll beyond what every transport does."""

import threading
import time

from clients import LongPoll, RawSSE, WebSocket


def poll(hub, user, headers=None, **query):
    return hub.get("/v1/poll", params={"user": user, "device": f"{user}-d1"} | query, headers=headers)


def test_a_short_poll_answers_at_once(hub, user):
    begin = time.monotonic()
    answer = poll(hub, user)
    assert time.monotonic() - begin < 1
    assert answer.status_code == 200
    assert answer.json()["messages"] == []
    assert answer.headers["etag"] == f'"{answer.json()["cursor"]}"'


def test_presenting_the_cursor_is_the_ack(hub, user):
    # Urgent ones may fill a poll; of others a share of its limit stays free.
    sent = [hub.publish(user, data=n, priority="high") for n in range(3)]
    first = poll(hub, user, limit=2).json()
    assert [m["data"] for m in first["messages"]] == [0, 1]
    assert hub.device_state(sent[0], f"{user}-d1") == "sent"
    second = poll(hub, user, cursor=first["cursor"]).json()
    assert [m["data"] for m in second["messages"]] == [2]
    assert hub.device_state(sent[1], f"{user}-d1") == "delivered"
    assert poll(hub, user, cursor=second["cursor"]).json()["messages"] == []


def test_without_the_cursor_it_comes_again(hub, user):
    hub.publish(user, data=1)
    assert "redelivered" not in poll(hub, user).json()["messages"][0]
    assert poll(hub, user).json()["messages"][0]["redelivered"] is True


def test_nothing_new_is_304(hub, user):
    hub.publish(user, data=1)
    first = poll(hub, user)
    cursor, tag = first.json()["cursor"], first.headers["etag"]
    answer = poll(hub, user, cursor=cursor, headers={"If-None-Match": tag})
    assert answer.status_code == 304
    assert answer.content == b""
    hub.publish(user, data=2)
    answer = poll(hub, user, cursor=cursor, headers={"If-None-Match": tag})
    assert [m["data"] for m in answer.json()["messages"]] == [2]


def test_a_long_poll_wakes(hub, user):
    answers = []
    cursor = poll(hub, user).json()["cursor"]
    asking = threading.Thread(target=lambda: answers.append((poll(hub, user, wait=10, cursor=cursor), time.monotonic())))
    asking.start()
    asking.join(0.3)
    assert asking.is_alive()
    published = time.monotonic()
    hub.publish(user, data="wake up")
    asking.join(5)
    (answer, received), = answers
    assert answer.json()["messages"][0]["data"] == "wake up"
    assert received - published < 1


def test_a_long_poll_ends_empty(hub, user):
    begin = time.monotonic()
    answer = poll(hub, user, wait=1)
    assert 0.9 < time.monotonic() - begin < 3
    assert answer.json()["messages"] == []


def test_beside_a_live_session_a_short_poll_only_acks(hub, user):
    with WebSocket(hub, user, f"{user}-d1") as client:
        sent = hub.publish(user, data=1)
        client.next()
        answer = poll(hub, user, cursor=client.position).json()
        assert answer["live"] is True
        assert answer["messages"] == []
        assert hub.device_state(sent, f"{user}-d1") == "delivered"
        hub.publish(user, data=2)
        assert client.next()["data"] == 2


def test_a_long_poll_takes_over(hub, user):
    with RawSSE(hub, user, f"{user}-d1") as client:
        with LongPoll(hub, user, f"{user}-d1") as polling:
            assert client.notice("close")["code"] == 4500
            hub.publish(user, data=1)
            assert polling.next()["data"] == 1


def test_a_long_poll_that_is_taken_over_is_told(hub, user):
    answers = []
    asking = threading.Thread(target=lambda: answers.append(poll(hub, user, wait=10).json()))
    asking.start()
    asking.join(0.3)
    with RawSSE(hub, user, f"{user}-d1"):
        asking.join(5)
    (answer,) = answers
    assert answer["takenOver"] is True
    assert answer["messages"] == []


def test_the_most_urgent_come_first(hub, user):
    for n, priority in enumerate(("low", "medium", "high")):
        hub.publish(user, data=n, priority=priority)
    assert [m["data"] for m in poll(hub, user, limit=2).json()["messages"]] == [2, 1]


def test_bad_queries(hub, user):
    for query in ({"wait": "x"}, {"wait": -1}, {"limit": 0}, {"limit": "x"}, {"cursor": "garbage"}):
        answer = poll(hub, user, **query)
        assert answer.status_code == 400, query
        assert answer.json()["error"]["code"] == ("invalid_cursor" if "cursor" in query else "bad_request")

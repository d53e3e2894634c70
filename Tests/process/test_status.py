"""GET and DELETE /v1/messages/{id}: what became of a message."""

import threading
import time

from clients import RawSSE, WebSocket

NOBODY = "0197f0c4-9c3e-7a51-8e0f-1b2c3d4e5f60"


def test_follows_a_message_to_each_device(hub, user):
    with RawSSE(hub, user, f"{user}-1"):
        pass
    with WebSocket(hub, user, f"{user}-2") as client:
        sent = hub.publish(user, data=1, priority="high", ttl=60)
        client.next()
        status = hub.status(sent)
        states = {device["device"]: device["state"] for device in status["devices"]}
        assert states == {f"{user}-1": "queued", f"{user}-2": "sent"}
        client.acknowledge()
        status = hub.status(sent)
    assert status["id"] == sent
    assert status["to"] == {"user": user}
    assert status["priority"] == "high"
    assert status["recalled"] is False
    assert abs(status["expiresAt"] - status["at"] - 60_000) < 1_500
    assert status["counts"] == {"queued": 1, "delivered": 1}
    second = next(device for device in status["devices"] if device["device"] == f"{user}-2")
    assert second["user"] == user
    assert second["sentAt"] <= second["deliveredAt"]


def test_expired_collapsed_and_recalled(hub, user):
    with RawSSE(hub, user, f"{user}-d1"):
        pass
    expired = hub.publish(user, data=1, ttl=1)
    collapsed = hub.publish(user, data=2, collapseKey="k")
    hub.publish(user, data=3, collapseKey="k")
    recalled = hub.publish(user, data=4)
    assert hub.recall(recalled).json() == {"id": recalled, "state": "recalled"}
    assert hub.recall(recalled).json() == {"id": recalled, "state": "recalled"}
    assert hub.status(recalled)["recalled"] is True
    assert hub.device_state(recalled, f"{user}-d1") == "recalled"
    assert hub.device_state(collapsed, f"{user}-d1") == "collapsed"
    time.sleep(1.1)  # the thing under test is the passing of time
    assert hub.device_state(expired, f"{user}-d1") == "expired"
    assert hub.recall(expired).json() == {"id": expired, "state": "expired"}


def test_unknown_ids(hub):
    for answer in (hub.get(f"/v1/messages/{NOBODY}"), hub.recall(NOBODY), hub.get("/v1/messages/not-an-id"), hub.recall("x")):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"


def test_wait_holds_the_answer_until_a_change(hub, user):
    with WebSocket(hub, user, f"{user}-d1") as client:
        sent = hub.publish(user, data=1)
        client.next()
        first = hub.get(f"/v1/messages/{sent}")
        tag = first.headers["etag"]
        answers = []

        def ask():
            answers.append(hub.get(f"/v1/messages/{sent}?wait=10", headers={"If-None-Match": tag}))

        asking = threading.Thread(target=ask)
        begin = time.monotonic()
        asking.start()
        asking.join(0.3)
        assert asking.is_alive(), "answered before anything changed"
        client.acknowledge()
        asking.join(5)
        assert time.monotonic() - begin < 3
    (answer,) = answers
    assert answer.status_code == 200
    assert answer.json()["devices"][0]["state"] == "delivered"
    assert answer.headers["etag"] != tag


def test_wait_ends_with_304(hub, user):
    sent = hub.publish(user, data=1)
    first = hub.get(f"/v1/messages/{sent}")
    begin = time.monotonic()
    answer = hub.get(f"/v1/messages/{sent}?wait=1", headers={"If-None-Match": first.headers["etag"]})
    assert 0.9 < time.monotonic() - begin < 3
    assert answer.status_code == 304
    assert hub.get(f"/v1/messages/{sent}", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert hub.get(f"/v1/messages/{sent}?wait=1").status_code == 200


def test_a_tag_that_no_longer_matches_is_answered_at_once(hub, user):
    sent = hub.publish(user, data=1)
    begin = time.monotonic()
    answer = hub.get(f"/v1/messages/{sent}?wait=10", headers={"If-None-Match": '"another"'})
    assert answer.status_code == 200
    assert time.monotonic() - begin < 2


def test_devices_come_by_page(hub, user):
    names = [f"d{n}" for n in range(5)]
    for name in names:
        with RawSSE(hub, user, f"{user}-{name}"):
            pass
    sent = hub.publish(user, data=1)
    seen, after = [], None
    while True:
        page = hub.status(sent, limit=2, **({"after": after} if after else {}))
        seen += [device["device"] for device in page["devices"]]
        assert page["counts"] == {"queued": 5}
        after = page.get("next")
        if not after:
            break
    assert seen == [f"{user}-{name}" for name in names]


def test_bad_queries(hub, user):
    sent = hub.publish(user, data=1)
    for query in ("wait=x", "wait=-1", "limit=0", "limit=x"):
        answer = hub.get(f"/v1/messages/{sent}?{query}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request"), query

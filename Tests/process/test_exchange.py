"""POST /v1/exchange: everything in one request, never taking over."""

import json
import threading

import pytest

from access import Guarded, bearer, token
from clients import RawSSE, Ramen, WebSocket
from server import Server, unique
from topics import options, say


def exchange(hub, user, device="d1", **body):
    query = ({"user": user} if user else {}) | ({"device": f"{user}-{device}"} if device else {})
    return hub.http.post(f"{hub.url}/v1/exchange", params=query, json=body)


def test_everything_at_once(hub, user):
    namespace = unique("space")
    options(hub, namespace, history={"messages": 10})
    first, second = [hub.publish(user, data=n) for n in range(2)]
    answer = exchange(hub, user)
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    value = answer.json()
    assert [m["id"] for m in value["messages"]] == [first, second] and set(value) == {"cursor", "messages"}
    publish = [
        {"topic": f"{namespace}/a", "data": {"n": 1}, "ref": [1, "x"]}, {"topic": "a/+"}, {"topic": f"{namespace}/a", "data": 2, "priority": "high"},
        {"topic": f"{namespace}/a", "data": 3, "ref": None},
    ]
    with RawSSE(hub, None, None, topics=f"{namespace}/a") as reader:
        value = exchange(hub, user, cursor=value["cursor"], publish=publish, subscribe=[{"topic": f"{namespace}/a", "since": "earliest"}]).json()
        one, bad, worse, two = value["published"]
        assert one["ref"] == [1, "x"] and bad["error"]["code"] == worse["error"]["code"] == "bad_request"
        assert two["ref"] is None and set(two) == {"id", "ref"}
        assert [m["id"] for m in reader.take(2)] == [one["id"], two["id"]]
    assert hub.device_state(second, f"{user}-d1") == "delivered"
    seen = [m["id"] for m in value["messages"]]
    value = exchange(hub, user, cursor=value["cursor"], subscribe=f"{namespace}/a").json()
    assert seen + [m["id"] for m in value["messages"]] == [one["id"], two["id"]]


def test_never_takes_over(hub, user):
    with WebSocket(hub, user, f"{user}-d1") as live:
        sent = hub.publish(user, data=1)
        seq = live.next()["seq"]
        value = exchange(hub, user).json()
        assert (value["messages"], value["live"]) == ([], True)
        # By number, and by cursor.
        value = exchange(hub, user, session=live.welcome["session"], ack=seq).json()
        assert value["live"] is True
        assert hub.device_state(sent, f"{user}-d1") == "delivered"
        sent = hub.publish(user, data=2)
        live.next()
        exchange(hub, user, cursor=live.position)
        assert hub.device_state(sent, f"{user}-d1") == "delivered"
        hub.publish(user, data=3)
        assert live.next()["data"] == 3 and not live.ended.is_set()


def test_changes_the_topics_of_the_live_session(hub, user):
    a, b = f"{user}/a", f"{user}/b"
    with RawSSE(hub, user, f"{user}-d1", topics=b) as live:
        value = exchange(hub, user, subscribe=[a], unsubscribe=[b, "never"], publish={"topic": a, "data": "mine"}).json()
        assert value["live"] is True and "id" in value["published"][0]
        assert live.notice("unsubscribed") == {"topic": b, "reason": "requested"}
        assert live.notice("subscribed") == [{"topic": a}]
        assert live.next()["data"] == "mine"
        say(hub, b, "unheard")
        say(hub, a, "heard")
        assert live.next()["data"] == "heard"
        answer = exchange(hub, user, subscribe=[str(n) for n in range(512)], publish={"topic": a, "data": "not published"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "too_many_topics")
        live.silent(0.2)
    with Ramen(hub, user, f"{user}-d2"):
        answer = exchange(hub, user, "d2", subscribe=[a])
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_several_at_once_lose_nothing(hub, user):
    """As an app does it that sends its requests in parallel: each message is in at least one answer, none is acked unseen."""
    sent = {hub.publish(user, data=n) for n in range(200)}
    got, lock = set(), threading.Lock()

    def run() -> None:
        cursor = None
        for _ in range(40):
            value = exchange(hub, user, cursor=cursor, limit=7).json()
            with lock:
                got.update(m["id"] for m in value["messages"])
            cursor = value["cursor"]
            if got >= sent:
                return

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cursor = None
    while not got >= sent:
        value = exchange(hub, user, cursor=cursor).json()
        assert value["messages"]
        got.update(m["id"] for m in value["messages"])
        cursor = value["cursor"]
    assert got == sent


def test_beside_a_session_that_is_just_opening(hub, user):
    """Exchanges and short polls meet a stream at every moment of its life: none of them takes it over."""
    stop = threading.Event()
    failures = []

    def run(ask) -> None:
        while not stop.is_set():
            answer = ask()
            if answer.status_code != 200 or answer.json().get("takenOver"):
                failures.append(answer.text)

    query = {"user": user, "device": f"{user}-d1"}
    asks = [lambda: exchange(hub, user), lambda: hub.get("/v1/poll", params=query)] * 2
    threads = [threading.Thread(target=run, args=(ask,)) for ask in asks]
    for thread in threads:
        thread.start()
    try:
        for n in range(60):
            with RawSSE(hub, user, f"{user}-d1") as live:
                sent = hub.publish(user, data=n, ttl=60)
                while live.next()["id"] != sent:
                    pass
                assert not live.ended.is_set() and live.notices.empty(), list(live.notices.queue)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    # An exchange that has the device for its moment gives way to a stream, and says so.
    assert all('"takenOver":true' in text for text in failures), failures


def test_limits(hub, user):
    for n in range(5):
        hub.publish(user, data=n, priority="high")
    assert len(exchange(hub, user, limit=2).json()["messages"]) == 2
    publish = {"topic": f"{user}/a", "data": 1}
    assert len(exchange(hub, user, publish=[publish] * 64).json()["published"]) == 64
    for body in ({"publish": [publish] * 65}, {"limit": 0}, {"limit": 1_025}, {"nosuch": 1}, {"publish": 7}, {"subscribe": "a#"}, {"ack": 1},
                 {"session": "x"}, [], 7, None, "x"):
        answer = hub.http.post(f"{hub.url}/v1/exchange", params={"user": user}, content=json.dumps(body))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request"), body
    answer = exchange(hub, user, cursor="garbage")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_cursor")
    answer = exchange(hub, user, session="nosuch", ack=1, publish=publish)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "session_unknown")
    answer = hub.http.post(f"{hub.url}/v1/exchange", params={"user": user}, content=b'{"publish":{"topic":"a","data":"' + b"x" * 65_536 + b'"}}')
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "message_too_large")
    answer = hub.http.post(f"{hub.url}/v1/exchange", params={"user": user}, content=b"{}", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    # A backlog of large messages comes in parts.
    for _ in range(5):
        hub.publish(f"{user}-large", data="x" * 30_000)
    cursor, count, sizes = None, 0, []
    while count < 5:
        answer = exchange(hub, f"{user}-large", cursor=cursor)
        sizes.append(len(answer.content))
        assert answer.json()["messages"]
        count += len(answer.json()["messages"])
        cursor = answer.json()["cursor"]
    assert max(sizes) < 140_000 and len(sizes) > 1


def test_without_a_name(hub, user):
    """In dev mode nobody needs to be named; an ephemeral device begins now."""
    value = exchange(hub, None, None, publish={"topic": f"{user}/a", "data": 1}).json()
    assert "id" in value["published"][0] and value["messages"] == []
    hub.publish(user, data=1)
    assert exchange(hub, user, None).json()["messages"] == []
    assert hub.http.post(f"{hub.url}/v1/exchange", params={"user": user}).status_code == 200
    answer = hub.get("/v1/exchange")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_rights(tmp_path):
    server = Guarded(tmp_path / "data").start()
    try:
        def ask(shown, **body):
            answer = server.http.post(f"{server.url}/v1/exchange?device=a1", headers=shown, json=body)
            return answer.status_code, answer.json()

        assert ask({})[0] == 401
        rights = {"chat/#": ["subscribe", "publish"], "news/#": ["subscribe"]}
        shown = bearer(token(topics=rights))
        status, value = ask(shown, subscribe="news/a", publish=[{"topic": "chat/a", "data": 1}, {"topic": "news/a", "data": 1, "ref": 7}])
        assert status == 200 and "id" in value["published"][0]
        error = value["published"][1]["error"]
        assert (error["code"], error["ref"], error["topic"]) == ("forbidden", 7, "news/a")
        status, value = ask(shown, subscribe="other", publish={"topic": "chat/a", "data": 1})
        assert (status, value["error"]["code"]) == (403, "forbidden")
        assert server.http.post(f"{server.url}/v1/exchange?user=bob", headers=shown, json={}).status_code == 403
        # A key is for back ends.
        assert ask(bearer(server.key()))[0] == 401
        # A page elsewhere that sends a form: the cookie does not count, and a form is not asked for first.
        fields = {"Cookie": f"martlet_token={token(topics=rights)}", "Origin": "https://evil.example", "Content-Type": "text/plain"}
        assert ask(fields, publish={"topic": "chat/a", "data": 1})[0] == 403
    finally:
        server.stop()


def test_the_rate_of_publishing_counts(tmp_path):
    server = Server(tmp_path / "data", "--limits-subscribe-rate", "0", "--limits-publish-rate", "1", "--limits-publish-burst", "3").start()
    try:
        published = exchange(server, "alice", publish=[{"topic": "a", "data": n} for n in range(5)]).json()["published"]
        assert ["id" in one for one in published] == [True, True, True, False, False]
        assert published[4]["error"]["code"] == "rate_limited" and published[4]["error"]["retryAfterMs"] > 0
    finally:
        server.stop()


@pytest.mark.parametrize("way", ["kill", "stop"])
def test_what_was_answered_survives(tmp_path, way):
    server = Server(tmp_path / "data", "--limits-subscribe-rate", "0").start()
    try:
        options(server, "kept", history={"messages": 100}, storage="durable")
        answer = exchange(server, "alice", publish=[{"topic": "kept/a", "data": n} for n in range(10)]).json()
        if way == "kill":
            server.kill9()
        else:
            server.terminate()
            server.wait()
        server.restart()
        value = exchange(server, "alice", subscribe=[{"topic": "kept/a", "since": "earliest"}]).json()
        assert [m["id"] for m in value["messages"]] == [one["id"] for one in answer["published"]]
    finally:
        server.stop()

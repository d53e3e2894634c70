"""gRPC with grpcio, which others wrote: sessions."""

import threading
import time

import grpc
import pytest

from grpc_push import Ask, Session, as_dict, channel, pb, rpc, trailers
from server import Server, unique, wait_until


@pytest.fixture
def wire(hub):
    with channel(hub) as channel_:
        yield channel_


def hello(user: str, device: str | None = None, **options):
    return Ask.Hello(user=user, device=f"{user}-d1" if device is None else device, **options)


def test_ten_thousand_messages_with_acks(hub, wire, user):
    with Session(wire, hello(user), timeout=60) as session:
        session.expect("welcome")
        stub = rpc.PushStub(wire)
        batch = pb.PublishBatchRequest(messages=[pb.Draft(user=user, json=str(n)) for n in range(10_000)])
        answer = stub.PublishBatch(batch, timeout=30)
        assert [one.WhichOneof("outcome") for one in answer.outcomes] == ["published"] * 10_000
        for n in range(10_000):
            message = session.message()
            assert (message.seq, message.json, message.redelivered) == (n + 1, str(n), False)
            session.ack(message.seq)
        session.settle()
        last = answer.outcomes[-1].published.id
        assert stub.GetMessage(pb.GetMessageRequest(id=last), timeout=5).counts == {"delivered": 1}


def test_goes_on_after_kill_9(server, user):
    with channel(server) as wire, Session(wire, hello(user)) as session:
        session.expect("welcome")
        for n in range(20):
            server.publish(user, data=n)
        got = [session.message() for _ in range(10)]
        session.ack(5)
        server.kill9()
        assert session.end().code() == grpc.StatusCode.UNAVAILABLE
    server.restart()
    with channel(server) as wire, Session(wire, hello(user, cursor=got[-1].cursor)) as session:
        session.expect("welcome")
        assert [session.message().json for _ in range(10)] == [str(n) for n in range(10, 20)]


def test_a_cancelled_call_ends_its_session_at_once(hub, wire, user):
    session = Session(wire, hello(user))
    session.expect("welcome")
    before = live(hub)
    session.call.cancel()
    wait_until(lambda: live(hub) < before, 5, "the session is still there")
    # The other calls of the connection go on.
    with Session(wire, hello(user)) as other:
        other.expect("welcome")
        hub.publish(user, data=1)
        assert other.message().json == "1"


def live(hub) -> int:
    for line in hub.get("/metrics").text.splitlines():
        if line.startswith('martlet_sessions{transport="grpc"}'):
            return int(float(line.split()[-1]))
    return 0


def test_a_client_that_has_said_all_leaves(wire, user):
    session = Session(wire, hello(user))
    session.expect("welcome")
    session.requests.put(None)
    with pytest.raises(StopIteration):
        while True:
            session.next()
    assert session.call.code() == grpc.StatusCode.OK


def test_a_deadline_ends_the_call(hub, wire, user):
    before = live(hub)
    session = Session(wire, hello(user), timeout=1.5)
    session.expect("welcome")
    assert session.end().code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: live(hub) <= before, 5, "the session is still there")


def test_the_first_request_is_a_hello(wire):
    with Session(wire) as session:
        session.send(ack=Ask.Ack(up_to=1))
        error = session.end()
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED
    assert trailers(error) == {"martlet-error-code": "unauthorized", "martlet-close-code": "4501", "martlet-reconnect": "false"}


@pytest.mark.parametrize("ack, code", [
    (Ask.Ack(up_to=7), "seq_unknown"), (Ask.Ack(seqs=[7]), "seq_unknown"), (Ask.Ack(cursor="x"), "invalid_cursor"),
    (Ask.Ack(), "bad_request"), (Ask.Ack(up_to=1, cursor="x"), "bad_request"),
])
def test_a_wrong_ack_ends_the_call(wire, user, ack, code):
    with Session(wire, hello(user)) as session:
        session.expect("welcome")
        session.send(ack=ack)
        assert session.expect("error").code == code
        error = session.end()
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert trailers(error)["martlet-error-code"] == code
    assert trailers(error)["martlet-close-code"] == "1008"


def test_acks_one_by_one_and_by_cursor(hub, wire, user):
    stub = rpc.PushStub(wire)
    ids = [hub.publish(user, data=n) for n in range(4)]
    with Session(wire, hello(user)) as session:
        session.expect("welcome")
        got = [session.message() for _ in range(4)]
        session.send(ack=Ask.Ack(seqs=[2]))
        session.settle()
        # The position moves over the acked prefix.
        assert stub.GetMessage(pb.GetMessageRequest(id=ids[1])).devices[0].state == "sent"
        session.send(ack=Ask.Ack(seqs=[1]))
        session.settle()
        assert stub.GetMessage(pb.GetMessageRequest(id=ids[1])).devices[0].state == "delivered"
        session.send(ack=Ask.Ack(cursor=got[3].cursor))
        session.settle()
        assert stub.GetMessage(pb.GetMessageRequest(id=ids[3])).devices[0].state == "delivered"


def test_the_window_holds_back_what_is_not_acked(hub, wire, user):
    for n in range(10):
        hub.publish(user, data=n)
    with Session(wire, hello(user, window_messages=4)) as session:
        assert session.expect("welcome").window_messages == 4
        # Medium ones use three quarters of it.
        assert [session.message().json for _ in range(3)] == ["0", "1", "2"]
        session.settle()  # nothing comes before the answer
        session.ack(3)
        assert session.message().json == "3"


def test_another_session_of_the_device_takes_over(wire, user):
    with Session(wire, hello(user)) as first:
        first.expect("welcome")
        with Session(wire, hello(user)) as second:
            second.expect("welcome")
            error = first.end()
    assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "taken over")
    assert trailers(error) == {"martlet-close-code": "4500", "martlet-reconnect": "false"}


def test_heartbeats_are_answered_and_measured(hub, wire, user):
    count = 'martlet_session_rtt_seconds_count{transport="grpc"}'
    with Session(wire, hello(user, heartbeat_ms=1000)) as session:
        assert session.expect("welcome").heartbeat_ms == 1000
        before = metric(hub, count)
        ping = session.expect("ping")
        session.send(pong=pb.Pong(id=ping.id))
        wait_until(lambda: metric(hub, count) > before, 5, "no round trip was measured")
        # Who does not answer is gone after two intervals.
        error = session.end()
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert trailers(error)["martlet-close-code"] == "4000"
    assert trailers(error)["martlet-reconnect"] == "true"
    assert int(trailers(error)["grpc-retry-pushback-ms"]) > 0


def metric(hub, name: str) -> float:
    for line in hub.get("/metrics").text.splitlines():
        if line.startswith(name):
            return float(line.split()[-1])
    return 0


def test_a_drain_is_said_before_the_call_ends(server, user):
    with channel(server) as wire, Session(wire, hello(user)) as session:
        session.expect("welcome")
        server.terminate()
        assert session.expect("drain").reconnect_after_ms > 0
        error = session.end()
        assert (error.code(), trailers(error)["martlet-close-code"]) == (grpc.StatusCode.UNAVAILABLE, "1012")
        assert trailers(error)["martlet-reconnect"] == "true"
    assert server.wait() == 0


def test_acks_during_the_drain_are_taken(server, user):
    sent = server.publish(user, data=1)
    with channel(server) as wire, Session(wire, hello(user)) as session:
        session.expect("welcome")
        message = session.message()
        server.terminate()
        session.expect("drain")
        session.ack(message.seq)
        assert session.end().code() == grpc.StatusCode.UNAVAILABLE
    assert server.wait() == 0
    server.restart()
    assert server.get(f"/v1/messages/{sent}").json()["counts"] == {"delivered": 1}


# ------------------------------------------------------------ topics


def test_topics_from_the_start_and_later(wire, user):
    room = unique("room")
    stub = rpc.PushStub(wire)
    with Session(wire, hello(user, topics=[pb.TopicWish(topic=f"{room}/1")])) as session:
        assert [topic.topic for topic in session.expect("welcome").topics] == [f"{room}/1"]
        session.send(subscribe=Ask.Subscribe(ref=7, topics=[pb.TopicWish(topic=f"{room}/2/#"), pb.TopicWish(topic=f"{room}/1")]))
        result = session.expect("result")
        assert (result.ref, [topic.topic for topic in result.subscribed.topics]) == (7, [f"{room}/2/#"])
        stub.Publish(pb.PublishRequest(message=pb.Draft(topic=f"{room}/2/a", binary=b"\0\xff", content_type="a/b", type="t")))
        message = session.message()
        assert (message.seq, message.topic, message.binary, message.content_type, message.type) == (0, f"{room}/2/a", b"\0\xff", "a/b", "t")
        assert message.priority == pb.PRIORITY_UNSPECIFIED
        session.send(unsubscribe=Ask.Unsubscribe(ref=8, topics=[f"{room}/1", "never"]))
        result = session.expect("result")
        assert [(topic.topic, topic.reason) for topic in result.unsubscribed.topics] == [
            (f"{room}/1", "requested"), ("never", "not_subscribed")]
        session.send(subscribe=Ask.Subscribe(ref=9, topics=[pb.TopicWish(topic="a/#/b")]))
        result = session.expect("result")
        assert (result.ref, result.error.code) == (9, "bad_request")


def test_a_client_publishes_to_a_topic(wire, user):
    room = unique("room")
    with Session(wire, hello(user, topics=[pb.TopicWish(topic=room)])) as session:
        session.expect("welcome")
        for n in range(100):
            session.send(publish=Ask.PublishToTopic(ref=n, message=pb.Draft(topic=room, text=f"line \"{n}\"\n")))
        results, texts = {}, []
        while len(results) < 100 or len(texts) < 100:
            name, content = session.next()
            if name == "result":
                results[content.ref] = content.published.id
            else:
                texts.append(as_dict(content)["data"])
        assert sorted(results) == list(range(100)) and len(set(results.values())) == 100
        assert texts == [f"line \"{n}\"\n" for n in range(100)]
        session.send(publish=Ask.PublishToTopic(ref=200, message=pb.Draft(user=user, text="no")))
        assert session.expect("result").error.code == "bad_request"
        # JSON that would say more than data.
        session.send(publish=Ask.PublishToTopic(ref=201, message=pb.Draft(topic=room, json='1},"to":{"all":true')))
        assert session.expect("result").error.code == "invalid_json"


def test_presence_and_retained_values(tmp_path, user):
    server = Server(tmp_path / "data", "--topics-presence", "--grpc-listen", "127.0.0.1:0").start()
    try:
        with channel(server) as wire:
            check_presence_and_retained_values(wire, user, unique("room"))
    finally:
        server.stop()


def check_presence_and_retained_values(wire, user, room):
    rpc.PushStub(wire).Publish(pb.PublishRequest(message=pb.Draft(topic=room, json="1", retain=True)))
    with Session(wire, hello(user, topics=[pb.TopicWish(topic=room, presence=True)])) as session:
        assert session.expect("welcome").topics[0].count == 1
        message = session.message()
        assert (message.json, message.retained) == ("1", True)
        with Session(wire, hello(user, "d2", topics=[pb.TopicWish(topic=room)])) as other:
            other.expect("welcome")
            while True:
                event = session.expect("presence")
                if any(member.device == "d2" for member in event.joined):
                    break
            assert (event.topic, event.count) == (room, 2)


# ------------------------------------------------------------ the wire


@pytest.mark.parametrize("size", [10, 255, 256, 60_000])
def test_compression_on(wire, user, size):
    text = "abcdefgh" * (size // 8)
    with Session(wire, hello(user, topics=[pb.TopicWish(topic=unique("t"))]), compression=grpc.Compression.Gzip) as session:
        topic = session.expect("welcome").topics[0].topic
        stub = rpc.PushStub(wire)
        for draft in (pb.Draft(user=user, text=text), pb.Draft(topic=topic, text=text)):
            stub.Publish(pb.PublishRequest(message=draft), compression=grpc.Compression.Gzip)
            assert as_dict(session.message())["data"] == text


def test_a_large_low_message_does_not_hold_a_high_one(hub, wire, user):
    """With the window full of large low messages, the urgent one comes after what was begun, which is less than two."""
    large = "x" * 60_000
    for n in range(20):
        hub.publish(user, data=large, priority="low")
    with Session(wire, hello(user)) as session:
        session.expect("welcome")
        hub.publish(user, data="now", priority="high")
        before = 0
        while (message := session.message()).priority != pb.PRIORITY_HIGH:
            before += 1
            session.ack(message.seq)
        assert before <= 2


def test_many_sessions_on_one_connection(hub, wire):
    name = unique("crowd")
    before = live(hub)
    sessions = [Session(wire, hello(f"{name}-{n}")) for n in range(200)]
    try:
        for session in sessions:
            session.expect("welcome")
        hub.publish(to={"users": [f"{name}-{n}" for n in range(200)]}, data="all")
        for session in sessions:
            assert session.message().json == '"all"'
    finally:
        for session in sessions:
            session.close()
    wait_until(lambda: live(hub) <= before, 10, "sessions are left")


def test_a_subscriber_that_does_not_read_delays_nobody(hub, wire, user):
    room = unique("room")
    with Session(wire, hello(user, "slow", topics=[pb.TopicWish(topic=room)])) as slow, \
            Session(wire, hello(user, "quick", topics=[pb.TopicWish(topic=room)])) as quick:
        slow.expect("welcome")
        quick.expect("welcome")
        before = hub.rss_kb()

        def publish():
            stub = rpc.PushStub(wire)
            for n in range(300):
                stub.Publish(pb.PublishRequest(message=pb.Draft(topic=room, text=str(n) + "x" * 50_000)))

        publisher = threading.Thread(target=publish)
        publisher.start()
        start = time.monotonic()
        for n in range(300):
            assert as_dict(quick.message())["data"].startswith(f"{n}x")
        assert time.monotonic() - start < 20
        publisher.join()
        assert hub.rss_kb() - before < 60_000

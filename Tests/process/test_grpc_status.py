"""How calls end: each row of the tables in docs/grpc.md and docs/protocol.md, seen by clients that others wrote."""

import json
import re
import time

import grpc
import pytest
import websockets.exceptions

from access import Guarded, token
from grpc_push import Ask, Session, bearer, channel, pb, rpc, trailers
from http2 import Client
from server import ROOT, unique, wait_until
from test_grpc_hostile import CONNECT, GRPC, Port, message
from test_grpc_websocket import Link


def table(name: str, heading: str) -> list[list[str]]:
    """The rows of the first table after a heading."""
    text = (ROOT / "docs" / name).read_text().split(f"\n## {heading}\n")[1]
    lines = [line for line in text.split("\n## ")[0].splitlines() if line.startswith("|")]
    return [[column.strip().replace("`", "") for column in line.split("|")[1:-1]] for line in lines[2:]]


STATUSES = table("grpc.md", "Status codes")
STATUS = {error: row[0] for row in STATUSES for error in row[2].split(", ") if error}
CLOSE = {row[0]: row[2] for row in table("protocol.md", "Error codes")}
RECONNECT = {row[0]: row[2].startswith("yes") for row in table("protocol.md", "Close codes")}
BARE = {(row[0], close) for row in STATUSES for close in row[3].split(", ") if close}


@pytest.fixture(scope="module")
def tight(tmp_path_factory):
    """A server with small limits, for tokens."""
    server = Guarded(
        tmp_path_factory.mktemp("tight") / "data", "--grpc-listen", "127.0.0.1:0", "--limits-head-seconds", "1",
        "--limits-devices-per-user", "1", "--limits-sessions-per-user", "2", "--limits-subscribe-rate", "1",
        "--limits-subscribe-burst", "3").start()
    key = server.key("--scope", "publish,read,admin")
    # It takes effect within a second.
    wait_until(lambda: server.request("GET", "/metrics", key).status_code == 200, 5, "the key is not known")
    server.made_key = key
    yield server
    server.stop()


def call_end(call) -> tuple[str, dict]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, trailers(caught.value)


def ended(session: Session) -> tuple[str, dict]:
    """How a session ends, after whatever it says before."""
    try:
        while True:
            session.next()
    except (grpc.RpcError, StopIteration):
        return session.call.code().name, trailers(session.call)


def session_end(server, hello, metadata=(), **options) -> tuple[str, dict]:
    with channel(server) as wire, Session(wire, hello, metadata, **options) as session:
        return ended(session)


def raw_end(server, sent: bytes | None, *fields) -> tuple[str, dict]:
    """A session frame by frame, of which grpcio would not send such."""
    with Client(Port(server)) as client:
        stream = client.request("POST", CONNECT, [*GRPC, *fields], sent, end=False)
        client.until(lambda: client.answers[stream].ended)
        said = client.answers[stream].headers
        (name,) = (code.name for code in grpc.StatusCode if code.value[0] == int(said["grpc-status"]))
        return name, said


def check(end: tuple[str, dict], error: str | None, close: int | None = None, is_session: bool = True) -> None:
    status, said = end
    assert said.get("martlet-error-code") == error, end
    if error is not None:
        assert status == STATUS[error], end
    if not is_session:
        assert "martlet-close-code" not in said
        return
    expected = CLOSE[error] if error is not None else str(close)
    if error is None:
        assert (status, expected) in BARE, end
    assert said["martlet-close-code"] == expected, end
    assert said["martlet-reconnect"] == str(RECONNECT[expected]).lower(), end


def test_the_tables_are_read():
    assert len(STATUSES) == 12 and len(STATUS) == 28 and len(BARE) == 9


# ------------------------------------------------------------ without an error


def test_left(hub, user):
    with channel(hub) as wire, Session(wire, Ask.Hello(user=user)) as session:
        session.expect("welcome")
        session.requests.put(None)
        check(ended(session), None, 1000)


@pytest.mark.parametrize("sent, fields", [
    (b"\x02\0\0\0\0", []), (message(Ask(hello=Ask.Hello(user="hostile")))[:-3], None), (None, [("grpc-timeout", "1")]),
    (None, [("grpc-encoding", "zstd")]),
], ids=["flag", "cut", "timeout", "encoding"])
def test_no_call_of_ours(hub, sent, fields):
    if fields is None:
        with Client(Port(hub)) as client:
            stream = client.request("POST", CONNECT, GRPC, sent)
            client.until(lambda: client.answers[stream].ended)
            said = client.answers[stream].headers
            return check(("INTERNAL", said), None, 1002)
    check(raw_end(hub, sent, *fields), None, 1002)


def test_taken_over(hub, user):
    with channel(hub) as wire, Session(wire, Ask.Hello(user=user, device="d")) as first:
        first.expect("welcome")
        with Session(wire, Ask.Hello(user=user, device="d")) as second:
            second.expect("welcome")
            check(ended(first), None, 4500)


def test_silent(hub, user):
    end = session_end(hub, Ask.Hello(user=user, heartbeat_ms=1000))
    check(end, None, 4000)
    assert int(end[1]["grpc-retry-pushback-ms"]) > 0


def test_disconnected_by_the_back_end(tight, user):
    with channel(tight) as wire, Session(wire, Ask.Hello(device="d"), bearer(token(user))) as session:
        session.expect("welcome")
        assert tight.request("POST", f"/v1/users/{user}/disconnect", tight.made_key).status_code == 200
        check(ended(session), None, 4502)


def test_the_server_stops(server, user):
    with channel(server) as wire, Session(wire, Ask.Hello(user=user)) as session:
        session.expect("welcome")
        server.terminate()
        check(ended(session), None, 1012)
    assert server.wait() == 0


# ------------------------------------------------------------ with an error


@pytest.mark.parametrize("ack, error", [
    (Ask.Ack(), "bad_request"), (Ask.Ack(cursor="x"), "invalid_cursor"), (Ask.Ack(up_to=9), "seq_unknown"),
])
def test_a_request_that_is_refused(hub, user, ack, error):
    with channel(hub) as wire, Session(wire, Ask.Hello(user=user)) as session:
        session.expect("welcome")
        session.send(ack=ack)
        check(ended(session), error)


def test_a_message_that_is_too_large(hub):
    check(raw_end(hub, b"\0\xff\xff\xff\xff"), "message_too_large")


def test_a_head_with_too_many_fields(hub):
    check(raw_end(hub, None, *[(f"x-{n}", "") for n in range(120)]), "header_too_large")


def test_nobody(tight):
    check(session_end(tight, Ask.Hello(user="alice")), "unauthorized")
    check(session_end(tight, None, [("authorization", "Basic x")]), "unauthorized")
    check(session_end(tight, None), "request_timeout")


def test_a_token_that_ends(tight, user):
    with channel(tight) as wire, Session(wire, Ask.Hello(device="d"), bearer(token(user, exp=int(time.time()) + 2))) as session:
        session.expect("welcome")
        end = ended(session)
    check(end, "token_expired")
    assert end[0] == "UNAUTHENTICATED"
    check(session_end(tight, Ask.Hello(), bearer(token(user, exp=int(time.time()) - 9))), "token_expired")


def test_a_token_of_another(tight, user):
    check(session_end(tight, Ask.Hello(user="bob"), bearer(token(user))), "forbidden")


def test_too_many_topics(hub, user):
    end = session_end(hub, Ask.Hello(user=user, topics=[pb.TopicWish(topic=f"t/{n}") for n in range(513)]))
    check(end, "too_many_topics")
    assert (end[0], end[1]["martlet-error-limit"], end[1]["martlet-close-code"]) == ("RESOURCE_EXHAUSTED", "512", "1008")
    with Link(hub, Ask.Hello(user=user, topics=[pb.TopicWish(topic=f"t/{n}") for n in range(513)])) as link:
        assert link.expect("error").code == "too_many_topics"
        assert link.closed() == (1008, "too_many_topics")


def json_end(server, shown: str, device: str) -> tuple[str | None, int]:
    """The error and the close code that a WebSocket gets for a token in its first frame."""
    with server.websocket(f"?device={device}" if device else "") as socket:
        socket.send(json.dumps({"token": shown}))
        first = json.loads(socket.recv(5))
        if "error" not in first:
            return None, 0
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            socket.recv(5)
        return first["error"]["code"], socket.close_code


def test_too_many_devices(tight, user):
    with channel(tight) as wire, Session(wire, Ask.Hello(device="d1"), bearer(token(user))) as session:
        session.expect("welcome")
        end = session_end(tight, Ask.Hello(device="d2"), bearer(token(user)))
    check(end, "too_many_devices")
    assert (end[0], end[1]["martlet-close-code"]) == ("RESOURCE_EXHAUSTED", "4501")
    assert json_end(tight, token(user), "d2") == ("too_many_devices", 4501)


def test_too_many_sessions_and_too_fast(tight, user):
    with channel(tight) as wire, Session(wire, Ask.Hello(), bearer(token(user))) as one, Session(wire, Ask.Hello(), bearer(token(user))) as two:
        one.expect("welcome")
        two.expect("welcome")
        end = session_end(tight, Ask.Hello(), bearer(token(user)))
        check(end, "too_many_sessions")
        assert end[1]["martlet-close-code"] == "4001"
    other = unique("user")
    ends = [session_end(tight, Ask.Hello(), bearer(token(other)), timeout=0.3) for _ in range(6)]
    (refused, *_) = [end for end in ends if end[0] != "DEADLINE_EXCEEDED"]
    check(refused, "rate_limited")
    assert (refused[0], refused[1]["martlet-close-code"], refused[1]["martlet-reconnect"]) == ("RESOURCE_EXHAUSTED", "4001", "true")
    assert int(refused[1]["grpc-retry-pushback-ms"]) > 0
    while True:
        error, close = json_end(tight, token(other), "")
        if error is not None:
            break
    assert (error, close) == ("rate_limited", 4001)


# ------------------------------------------------------------ calls that are no sessions


def test_calls(tight):
    with channel(tight) as wire:
        stub = rpc.PushStub(wire)
        with_key = {"metadata": bearer(tight.made_key), "timeout": 5}
        check(call_end(lambda: stub.GetMessage(pb.GetMessageRequest(id="01a1ff99-837f-7000-aa63-1598fab756a9"), **with_key)),
              "not_found", is_session=False)
        check(call_end(lambda: stub.Publish(pb.PublishRequest(), timeout=5)), "unauthorized", is_session=False)
        name = unique("key")
        stub.Publish(pb.PublishRequest(message=pb.Draft(user="a", text="1", idempotency_key=name)), **with_key)
        check(call_end(lambda: stub.Publish(pb.PublishRequest(message=pb.Draft(user="a", text="2", idempotency_key=name)), **with_key)),
              "idempotency_conflict", is_session=False)
        check(call_end(lambda: stub.Publish(pb.PublishRequest(message=pb.Draft(user="a", text="x" * 65_537)), **with_key)),
              "message_too_large", is_session=False)
        end = call_end(lambda: wire.unary_unary("/martlet.v1.Push/Other")(b"", timeout=5))
        assert end[0] == "UNIMPLEMENTED"


# ------------------------------------------------------------ deadlines


@pytest.mark.parametrize("timeout", ["0n", "0u", "0m", "0S", "00000000H"])
def test_a_deadline_that_is_over(hub, user, timeout):
    """Nothing is done for a client that waits no more."""
    text = unique("never")
    with Client(Port(hub)) as client:
        body = message(pb.PublishRequest(message=pb.Draft(user=user, text=text)))
        stream = client.request("POST", "/martlet.v1.Push/Publish", [*GRPC, ("grpc-timeout", timeout)], body)
        client.until(lambda: client.answers[stream].ended)
        assert client.answers[stream].headers["grpc-status"] == str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
    with channel(hub) as wire, Session(wire, Ask.Hello(user=user, device="d")) as session:
        session.expect("welcome")
        session.settle()  # a message that was stored would come before
    end = raw_end(hub, message(Ask(hello=Ask.Hello(user=user))), ("grpc-timeout", timeout))
    assert end[0] == "DEADLINE_EXCEEDED" and "martlet-close-code" not in end[1]

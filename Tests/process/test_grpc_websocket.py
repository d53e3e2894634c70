"""The messages of gRPC as binary messages of a WebSocket: martlet.proto.v1."""

import time

import pytest
import websockets.exceptions
import websockets.sync.client

from access import Guarded, token
from grpc_push import Ask, pb
from server import unique


class Link:
    def __init__(self, server, hello=None, query: str = "", protocols=("martlet.proto.v1",)):
        self.socket = websockets.sync.client.connect(
            f"ws://127.0.0.1:{server.port}/v1/ws{query}", subprotocols=list(protocols), compression=None, ping_interval=None, proxy=None,
            open_timeout=10, close_timeout=1, legacy=True)
        if hello is not None:
            self.send(hello=hello)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, **frame) -> None:
        self.socket.send(Ask(**frame).SerializeToString())

    def next(self):
        response = pb.ConnectResponse.FromString(self.socket.recv(5))
        name = response.WhichOneof("frame")
        return name, getattr(response, name)

    def expect(self, name: str):
        got, content = self.next()
        assert got == name, (got, content)
        return content

    def closed(self) -> tuple[int, str]:
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            self.socket.recv(5)
        return self.socket.close_code, self.socket.close_reason


def test_it_is_chosen_among_others(hub, user):
    with Link(hub, Ask.Hello(user=user), protocols=["other", "martlet.proto.v1", "mqtt"]) as link:
        assert link.socket.subprotocol == "martlet.proto.v1"
        assert link.expect("welcome").user == user


@pytest.mark.parametrize("sent, code, close", [
    (Ask(ack=Ask.Ack(up_to=1)).SerializeToString(), "unauthorized", 4501), (b"\xff\xff", "bad_request", 1008),
    (Ask(hello=Ask.Hello(cursor="x")).SerializeToString(), "invalid_cursor", 1008),
    (Ask(hello=Ask.Hello(topics=[pb.TopicWish(topic="a/#/b")])).SerializeToString(), "bad_request", 1008),
])
def test_an_error_comes_before_the_close_code(hub, sent, code, close):
    with Link(hub) as link:
        link.socket.send(sent)
        assert link.expect("error").code == code
        assert link.closed() == (close, code)


def test_text_is_not_taken(hub, user):
    with Link(hub, Ask.Hello(user=user)) as link:
        link.expect("welcome")
        link.socket.send("text")
        assert link.closed()[0] == 1003


def test_take_over_has_its_code(hub, user):
    with Link(hub, Ask.Hello(user=user, device="d")) as first:
        first.expect("welcome")
        with Link(hub, Ask.Hello(user=user, device="d")) as second:
            second.expect("welcome")
            assert first.closed() == (4500, "taken over")


def test_a_drain_is_said(server, user):
    with Link(server, Ask.Hello(user=user)) as link:
        link.expect("welcome")
        server.terminate()
        assert link.expect("drain").reconnect_after_ms > 0
        assert link.closed()[0] == 1012
    assert server.wait() == 0


def test_tokens(tmp_path):
    server = Guarded(tmp_path / "data").start()
    try:
        with Link(server, Ask.Hello(user="alice")) as link:
            assert link.expect("error").code == "unauthorized"
            assert link.closed()[0] == 4501
        with Link(server, Ask.Hello(token=token("alice"))) as link:
            assert link.expect("welcome").user == "alice"
        with Link(server, Ask.Hello(), query=f"?token={token('bob')}") as link:
            assert link.expect("welcome").user == "bob"
        with Link(server, Ask.Hello(token=token("alice", exp=int(time.time()) + 2))) as link:
            link.expect("welcome")
            assert link.expect("error").code == "token_expired"
            assert link.closed()[0] == 4002
    finally:
        server.stop()


def test_many_requests_at_once(hub, user):
    """Sent without waiting, read in order."""
    room = unique("room")
    with Link(hub, Ask.Hello(user=user, topics=[pb.TopicWish(topic=room)])) as link:
        for n in range(300):
            link.send(publish=Ask.PublishToTopic(ref=n, message=pb.Draft(topic=room, text="x" * 200)))
        link.expect("welcome")
        refs, messages = [], 0
        while len(refs) < 300 or messages < 300:
            name, content = link.next()
            if name == "result":
                refs.append(content.ref)
            else:
                assert name == "message"
                messages += 1
        assert sorted(refs) == list(range(300))

"""Clients of gRPC that send faster than they are answered, or than they read: HTTP/2's flow control holds them."""

import grpc
import pytest

from grpc_push import Ask, Session, channel, pb
from http2 import Client
from server import unique, wait_until
from test_grpc import live
from test_grpc_hostile import CONNECT, GRPC, HELLO, Port, message

# Requests that are refused, with an answer of a tenth of their size: nothing of the store is waited for.
COUNT = 20_000
REFUSED = [message(Ask(publish=Ask.PublishToTopic(ref=ref, message=pb.Draft(user="nobody", text="x" * 1_000)))) for ref in range(1, COUNT + 1)]


class Sender:
    """A session of a client that takes the frames of the server, but lets its own window close until `read`."""

    def __init__(self, server):
        self.client = Client(Port(server), window=2_000)
        self.client.consume = set()
        self.stream = self.client.request("POST", CONNECT, GRPC, HELLO, end=False)
        self.answer = self.client.answers[self.stream]
        self.client.until(lambda: self.answer.body)
        self.sent = 0
        self._parsed, self._refs = 0, []

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_) -> None:
        self.client.socket.close()

    def read(self) -> None:
        self.client.consume = None
        self.client.h2.increment_flow_control_window(1 << 26, self.stream)
        self.client.flush()

    def settle(self) -> None:
        """What was sent before came in, and the window that it gave back is known."""
        known = self.client.pongs
        self.client.h2.ping(b"settled?")
        self.client.flush()
        self.client.until(lambda: self.client.pongs > known)

    def send(self) -> None:
        """Sends requests while the server's window takes a whole one."""
        while self.sent < COUNT and not self.answer.ended:
            request = REFUSED[self.sent]
            if self.client.h2.local_flow_control_window(self.stream) < len(request):
                # Twice: what was read late may have made room.
                self.settle()
                self.settle()
                if self.client.h2.local_flow_control_window(self.stream) < len(request):
                    return
            self.client.h2.send_data(self.stream, request)
            self.client.flush()
            self.sent += 1

    def refs(self) -> list[int]:
        """Of the results that came."""
        body = self.answer.body
        while len(body) >= self._parsed + 5 and len(body) >= (end := self._parsed + 5 + int.from_bytes(body[self._parsed + 1:self._parsed + 5], "big")):
            response = pb.ConnectResponse.FromString(body[self._parsed + 5:end])
            if response.WhichOneof("frame") == "result":
                self._refs.append(response.result.ref)
            self._parsed = end
        return self._refs


def test_who_does_not_read_the_answers_is_held_back_and_goes_on(server):
    with Sender(server) as sender:
        sender.send()
        assert not sender.answer.ended, sender.answer.headers
        # Answers of 64 KiB and two windows: far from all.
        assert 64 < sender.sent < 4_000, sender.sent
        # Another call of the connection goes on.
        other = sender.client.request("POST", CONNECT, GRPC, message(Ask(hello=Ask.Hello(user="other"))), end=False)
        sender.client.until(lambda: sender.client.answers[other].body)
        sender.read()
        while sender.sent < COUNT:
            sender.send()
        sender.client.until(lambda: sender.refs() == list(range(1, COUNT + 1)), 20)


def test_a_call_that_is_held_back_is_cancelled_at_once(server):
    before = live(server)
    with Sender(server) as sender:
        sender.send()
        assert sender.sent < COUNT and live(server) == before + 1
        sender.client.h2.reset_stream(sender.stream, 8)
        sender.client.flush()
        wait_until(lambda: live(server) == before, 5, "the session is still there")


def test_a_client_that_has_said_all_is_answered(server):
    """The end of its stream waits behind what is not read."""
    with Sender(server) as sender:
        sender.send()
        assert sender.sent < COUNT
        sender.client.h2.end_stream(sender.stream)
        sender.client.flush()
        sender.settle()
        assert not sender.answer.ended
        sender.read()
        sender.client.until(lambda: sender.answer.ended, 20)
        assert sender.answer.headers["grpc-status"] == "0"
        assert sender.refs() == list(range(1, sender.sent + 1))


def test_acks_behind_publishes_are_taken_when_the_server_stops(server, user):
    sent = server.publish(user, data=1)
    with channel(server) as wire, Session(wire, Ask.Hello(user=user, device="d")) as session:
        session.expect("welcome")
        seq = session.message().seq
        room = unique("room")
        for n in range(2_000):
            session.send(publish=Ask.PublishToTopic(ref=n, message=pb.Draft(topic=room, text="x" * 200)))
        session.ack(seq)
        results = 0
        with pytest.raises(grpc.RpcError):
            while True:
                name, _ = session.next()
                results += name == "result"
                if results == 2_000:
                    session.settle()
                    server.terminate()
        assert results == 2_000
    assert server.wait() == 0
    server.restart()
    assert server.get(f"/v1/messages/{sent}").json()["counts"] == {"delivered": 1}


def test_ten_thousand_publishes_of_one_session(server, user):
    """More than have a result at a time: the client's library holds what the server does not read."""
    room = unique("room")
    server.http.put(f"{server.url}/v1/namespaces/{room}", json={"history": {"messages": 20_000}, "storage": "durable"}).raise_for_status()
    with channel(server) as wire, Session(wire, Ask.Hello(user=user, device="d"), timeout=60) as session:
        session.expect("welcome")
        for n in range(10_000):
            session.send(publish=Ask.PublishToTopic(ref=n, message=pb.Draft(topic=f"{room}/1", text="x" * 1_000)))
        ids = {}
        while len(ids) < 10_000:
            result = session.expect("result")
            assert result.ref not in ids
            ids[result.ref] = result.published.id
        assert len(set(ids.values())) == 10_000
        session.settle()

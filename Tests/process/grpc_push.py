"""Clients of gRPC with grpcio, and of its messages in a WebSocket. The stubs are made of api/ when the tests begin."""

import importlib
import json
import queue
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc
import websockets.exceptions
import websockets.sync.client

from clients import Receiver, Refused, shut
from server import ROOT, Server

FILES = ("martlet/v1/push", "grpc/health/v1/health", "grpc/reflection/v1/reflection")


def _generate():
    folder = tempfile.TemporaryDirectory(prefix="martlet-stubs-")
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", ROOT / "api", f"--python_out={folder.name}", f"--grpc_python_out={folder.name}",
         *[f"{name}.proto" for name in FILES]],
        check=True)
    # Their package is called grpc, too: what is found under that name must stay the library.
    sys.path.insert(0, folder.name)
    grpc.__path__.append(str(Path(folder.name) / "grpc"))
    return folder, *[importlib.import_module(name.replace("/", ".") + end) for name in FILES for end in ("_pb2", "_pb2_grpc")]


_folder, pb, rpc, health, health_rpc, reflection, reflection_rpc = _generate()
Ask = pb.ConnectRequest

OPTIONS = [("grpc.enable_retries", 0)]


def grpc_port(server: Server) -> int:
    """Where the running server listens for gRPC."""
    return int(re.findall(r"listening for gRPC.*?address=127\.0\.0\.1:(\d+)", server.log.read_text())[-1])


def channel(server: Server, **options) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{grpc_port(server)}", OPTIONS, **options)


def bearer(credential: str | None) -> list[tuple[str, str]]:
    return [] if credential is None else [("authorization", f"Bearer {credential}")]


def trailers(call) -> dict[str, str]:
    return dict(call.trailing_metadata())


class Session:
    """One call of Push.Connect, without a thread of its own: `next` reads."""

    def __init__(self, channel: grpc.Channel, hello=None, metadata=(), timeout: float | None = 30, **options):
        self.requests: queue.Queue = queue.Queue()
        if hello is not None:
            self.send(hello=hello)
        self.call = rpc.PushStub(channel).Connect(iter(self.requests.get, None), metadata=list(metadata), timeout=timeout, **options)

    def send(self, **frame) -> None:
        self.requests.put(Ask(**frame))

    def next(self):
        """The next frame: its name and content."""
        response = next(self.call)
        name = response.WhichOneof("frame")
        return name, getattr(response, name)

    def expect(self, name: str):
        got, content = self.next()
        assert got == name, (got, content)
        return content

    def message(self):
        """The next message; heartbeats are answered on the way."""
        while True:
            name, content = self.next()
            if name == "ping":
                self.send(pong=pb.Pong(id=content.id))
            else:
                assert name == "message", (name, content)
                return content

    def ack(self, seq: int) -> None:
        self.send(ack=Ask.Ack(up_to=seq))

    def settle(self) -> None:
        """What was sent before was taken when this returns."""
        self.send(ping=pb.Ping(id=1))
        self.expect("pong")

    def end(self) -> grpc.RpcError:
        """Reads to the end, which is an error."""
        try:
            while True:
                self.next()
        except grpc.RpcError as error:
            return error

    def close(self) -> None:
        self.requests.put(None)
        self.call.cancel()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


PRIORITIES = {pb.PRIORITY_HIGH: "high", pb.PRIORITY_MEDIUM: "medium", pb.PRIORITY_LOW: "low"}


def as_dict(message) -> dict:
    """A message as those of the JSON transports look."""
    value = {"id": message.id, "at": message.at_ms}
    for name in ("seq", "cursor", "redelivered", "type", "topic", "retained"):
        if getattr(message, name):
            value[name] = getattr(message, name)
    if message.priority:
        value["priority"] = PRIORITIES[message.priority]
    if message.WhichOneof("data") == "json":
        value["data"] = json.loads(message.json)
    elif message.WhichOneof("data") == "binary":
        value |= {"binary": message.binary, "contentType": message.content_type}
    if message.notification_json:
        value["notification"] = json.loads(message.notification_json)
    return value | (json.loads(message.extra_json) if message.extra_json else {})


class _Push(Receiver):
    """What both have in common."""

    path = "martlet.v1.Push"

    def hello(self) -> Ask.Hello:
        topics = [name for name in self.query.pop("topics", "").split(",") if name]
        hello = Ask.Hello(
            user=self.user or "", device=self.device or "", cursor=self.position or "", from_now=self.query.get("from") == "now",
            heartbeat_ms=int(self.query.get("heartbeat", 0)) * 1000, window_messages=int(self.query.get("window", 0)))
        for topic in topics:
            hello.topics.add(topic=topic, since=self.query.get("since", ""), presence="presence" in self.query)
        return hello

    def _frame(self, response) -> None:
        name = response.WhichOneof("frame")
        content = getattr(response, name)
        if name == "message":
            value = as_dict(content)
            position = content.cursor or self.position
            self.messages.put(value | {"_raw": content.json, "_position": position})
        elif name == "welcome":
            self.welcome = {"session": content.session, "ack": "explicit", "cursor": content.cursor, "_id": content.cursor}
            self.opened.set()
        elif name == "ping":
            self.send(Ask(pong=pb.Pong(id=content.id)))
            self.notices.put((name, {}))
        else:
            value = {field.name: item for field, item in content.ListFields()}
            self.notices.put((name, value))

    def acknowledge(self) -> None:
        self.send({"ack": self.last["seq"]})
        self.send(Ask(ping=pb.Ping(id=1)))  # the answer shows that the ack was taken
        self.notice("pong")

    def _translated(self, value):
        return Ask(ack=Ask.Ack(up_to=value["ack"])) if isinstance(value, dict) else value


class GRPC(_Push):
    """grpcio, acking explicitly when told to."""

    def _receive(self) -> None:
        self.requests: queue.Queue = queue.Queue()
        self.requests.put(Ask(hello=self.hello()))
        with channel(self.server) as own:
            self.call = rpc.PushStub(own).Connect(iter(self.requests.get, None))
            try:
                for response in self.call:
                    self._frame(response)
            except grpc.RpcError as error:
                said = trailers(error)
                if not self.opened.is_set() and "martlet-error-code" in said:
                    raise Refused(error.code().value[0], error.details()) from None
                if "martlet-close-code" in said:
                    self.notices.put(("close", {"code": int(said["martlet-close-code"]), "reason": error.details()}))
            finally:
                self.requests.put(None)

    def send(self, value) -> None:
        self.requests.put(self._translated(value))

    def _shutdown(self) -> None:
        self.call.cancel()


class ProtoWebSocket(_Push):
    """The same messages in a WebSocket, with the websockets library."""

    def _receive(self) -> None:
        self.connection = websockets.sync.client.connect(
            f"ws://127.0.0.1:{self.server.port}/v1/ws", subprotocols=["martlet.proto.v1"], compression=None, ping_interval=None, proxy=None,
            open_timeout=10, close_timeout=1, legacy=True)
        self.send(Ask(hello=self.hello()))
        try:
            for frame in self.connection:
                self._frame(pb.ConnectResponse.FromString(frame))
        except websockets.exceptions.ConnectionClosed:
            pass
        self.notices.put(("close", {"code": self.connection.close_code, "reason": self.connection.close_reason}))

    def send(self, value) -> None:
        self.connection.send(self._translated(value).SerializeToString())

    def _shutdown(self) -> None:
        shut(self.connection.socket)

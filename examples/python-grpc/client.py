"""Receives a user's messages over gRPC: acks each, and goes on where it was after any disconnect.

    python client.py --server localhost:9090 --user alice --device laptop          (a server in dev mode)
    MARTLET_TOKEN=eyJ... python client.py --server push.example.com:443 --tls --device laptop
"""

import argparse
import os
import queue
import random
import sys
import time
from pathlib import Path

import grpc

from martlet.v1 import push_pb2 as pb
from martlet.v1 import push_pb2_grpc

Ask = pb.ConnectRequest

# A connection that nothing passes for so long is asked for a sign of life; proxies need not close it.
KEEPALIVE = [("grpc.keepalive_time_ms", 60_000), ("grpc.keepalive_timeout_ms", 20_000)]


class Refused(Exception):
    """Coming back by itself makes no sense."""


def connect(channel, arguments, cursor: str, handle) -> float:
    """One session. Returns the pause before the next, in seconds; raises Refused if there should be none."""
    requests = queue.Queue()
    requests.put(Ask(hello=Ask.Hello(
        user=arguments.user, device=arguments.device, cursor=cursor, heartbeat_ms=arguments.heartbeat_ms, automatic_reconnect=True)))
    token = os.environ.get("MARTLET_TOKEN")
    metadata = [("authorization", f"Bearer {token}")] if token else []
    call = push_pb2_grpc.PushStub(channel).Connect(iter(requests.get, None), metadata=metadata)
    pause = random.uniform(0.5, 3)
    try:
        for response in call:
            match response.WhichOneof("frame"):
                case "welcome":
                    print(f"connected as {response.welcome.user}", file=sys.stderr, flush=True)
                case "message":
                    handle(response.message)
                    # What was handled is not sent again.
                    requests.put(Ask(ack=Ask.Ack(up_to=response.message.seq)))
                case "ping":
                    requests.put(Ask(pong=pb.Pong(id=response.ping.id)))
                case "gap":
                    print(f"missed something: {response.gap.reason}", file=sys.stderr)
                case "drain":
                    pause = response.drain.reconnect_after_ms / 1000
    except grpc.RpcError as error:
        trailers = dict(error.trailing_metadata() or ())
        print(f"{error.code().name}: {error.details()}", file=sys.stderr, flush=True)
        # Without a close code it was the network, or the server went away without a word.
        if trailers.get("martlet-reconnect", "true") == "false":
            raise Refused(error.details()) from None
        pause = max(pause, int(trailers.get("grpc-retry-pushback-ms", 0)) / 1000)
    finally:
        requests.put(None)
        call.cancel()
    return pause


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", default="localhost:9090")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--user", default="", help="dev mode only: a token says it otherwise")
    parser.add_argument("--device", default="")
    parser.add_argument("--heartbeat-ms", type=int, default=0)
    parser.add_argument("--cursor-file", type=Path, default=Path("cursor"))
    arguments = parser.parse_args()

    def handle(message) -> None:
        # Do here what the message is for, then keep where it stood: what is not kept comes again.
        print(f"{message.id} {message.type} {message.json}", flush=True)
        arguments.cursor_file.write_text(message.cursor)

    options = KEEPALIVE
    open_channel = (lambda: grpc.secure_channel(arguments.server, grpc.ssl_channel_credentials(), options)) if arguments.tls else (
        lambda: grpc.insecure_channel(arguments.server, options))
    with open_channel() as channel:
        while True:
            cursor = arguments.cursor_file.read_text() if arguments.cursor_file.exists() else ""
            try:
                pause = connect(channel, arguments, cursor, handle)
            except Refused as refusal:
                print(f"not coming back: {refusal}", file=sys.stderr)
                return 1
            time.sleep(pause)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        pass

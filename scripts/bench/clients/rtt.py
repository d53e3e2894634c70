#!/usr/bin/env python3
"""Sessions of grpcio that answer heartbeats, for scripts/bench/grpc.py: what they measure is in the server's martlet_session_rtt_seconds."""
import argparse
import importlib
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import grpc

ROOT = Path(__file__).resolve().parents[3]


def stubs(folder: str):
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", ROOT / "api", f"--python_out={folder}", f"--grpc_python_out={folder}", "martlet/v1/push.proto"],
        check=True)
    sys.path.insert(0, folder)
    return importlib.import_module("martlet.v1.push_pb2"), importlib.import_module("martlet.v1.push_pb2_grpc")


def session(pb, stub, number: int, over: threading.Event, faults: list[str]) -> None:
    asks = queue.Queue()
    asks.put(pb.ConnectRequest(hello=pb.ConnectRequest.Hello(user=f"rtt-{number}", device=f"rtt-{number}", heartbeat_ms=1_000)))
    call = stub.Connect(iter(asks.get, None))
    threading.Thread(target=lambda: (over.wait(), call.cancel()), daemon=True).start()
    try:
        for response in call:
            if response.WhichOneof("frame") == "ping":
                asks.put(pb.ConnectRequest(pong=pb.Pong(id=response.ping.id)))
    except grpc.RpcError as error:
        if not over.is_set():
            faults.append(f"a session ended: {error.code().name} {error.details()}")
            over.set()
    finally:
        asks.put(None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="martlet-stubs-") as folder, grpc.insecure_channel(options.address) as channel:
        pb, rpc = stubs(folder)
        stub, over, faults = rpc.PushStub(channel), threading.Event(), []
        threads = [threading.Thread(target=session, args=(pb, stub, number, over, faults)) for number in range(options.sessions)]
        for thread in threads:
            thread.start()
            # Heartbeats that do not fall together.
            over.wait(1 / options.sessions)
        over.wait(options.seconds)
        over.set()
        for thread in threads:
            thread.join()
        if faults:
            sys.exit(faults[0])


if __name__ == "__main__":
    main()

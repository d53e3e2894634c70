"""The examples, as a reader would run them."""

import os
import signal
import subprocess
import sys

import pytest

from grpc_push import grpc_port
from server import ROOT, Server, wait_until


@pytest.fixture
def client(tmp_path):
    """The Python client with stubs beside it."""
    folder = ROOT / "examples" / "python-grpc"
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", ROOT / "api", f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}",
         "martlet/v1/push.proto"], check=True)
    processes = []

    def start(port: int):
        out = open(tmp_path / f"out{len(processes)}", "w+")
        process = subprocess.Popen(
            [sys.executable, folder / "client.py", "--server", f"127.0.0.1:{port}", "--user", "alice", "--device", "laptop",
             "--cursor-file", tmp_path / "cursor"],
            stdout=out, stderr=subprocess.STDOUT, env=os.environ | {"PYTHONPATH": str(tmp_path)},
            # Where the tests themselves run in a shell's background it is ignored, and Python leaves it so.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        processes.append(process)
        return process, lambda: (tmp_path / out.name).read_text()

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_the_python_client_loses_nothing(tmp_path, client):
    server = Server(tmp_path / "data", "--grpc-listen", "127.0.0.1:0").start()
    port = grpc_port(server)
    server.options = ("--grpc-listen", f"127.0.0.1:{port}")
    try:
        cursor = tmp_path / "cursor"
        process, text = client(port)
        wait_until(lambda: "connected as alice" in text(), 10, "a session")
        server.publish("alice", data="first")
        wait_until(lambda: '"first"' in text(), 10, "the first message")
        server.kill9()
        server.restart()
        before = wait_until(lambda: cursor.exists() and cursor.read_text(), 10, "where the first stood")
        server.publish("alice", data="second")
        wait_until(lambda: '"second"' in text(), 20, "the second message")
        wait_until(lambda: cursor.read_text() not in ("", before), 10, "that it is kept where it stood")
        process.send_signal(signal.SIGINT)
        process.wait(10)
        server.publish("alice", data="third")
        again, then = client(port)
        wait_until(lambda: '"third"' in then(), 10, "the third message")
        assert '"second"' not in then() and text().count('"first"') == 1
        # Another session of the device takes over: it stays away.
        client(port)
        assert again.wait(10) == 1
        assert "ABORTED: taken over" in then()
    finally:
        server.stop()

"""martlet publish and martlet subscribe, in a pipe; and curl."""

import json
import shutil
import signal
import subprocess

import pytest

from clients import RawSSE
from server import binary, unique, wait_until


def publish(server, *arguments, stdin=None):
    return subprocess.run(
        [binary(), "publish", "--url", server.url, *arguments], input=stdin, capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL if stdin is None else None,
    )


def subscribe(server, *arguments, stdout=subprocess.PIPE):
    return subprocess.Popen(
        [binary(), "subscribe", "--url", server.url, *arguments], stdout=stdout, stderr=subprocess.DEVNULL, text=True, stdin=subprocess.DEVNULL)


def test_publish_one(hub, user):
    with RawSSE(hub, user, f"{user}-d1") as client:
        result = publish(hub, "--user", user, "--type", "t", "--priority", "high", '{"a":1}')
        assert result.returncode == 0, result.stderr
        message = client.next()
        assert result.stdout.strip() == message["id"]
        assert (message["type"], message["data"], message["priority"]) == ("t", {"a": 1}, "high")
        publish(hub, "--user", user, "just text")
        assert client.next()["data"] == "just text"
        publish(hub, "--device", f"{user}-d1", "7")
        assert client.next()["data"] == 7


def test_publish_lines_from_a_pipe(hub, user):
    lines = [json.dumps({"n": n}) for n in range(1_500)] + ["text"]
    with RawSSE(hub, user, f"{user}-d1") as client:
        result = publish(hub, "--user", user, stdin="\n".join(lines) + "\n")
        assert result.returncode == 0, result.stderr
        messages = client.take(1_501, 20)
    assert [message["id"] for message in messages] == result.stdout.split()
    assert [message["data"] for message in messages] == [{"n": n} for n in range(1_500)] + ["text"]


def test_publish_says_what_was_refused(hub, user):
    result = publish(hub, "--user", user, "--ttl", "-5", "x")
    assert result.returncode != 0
    assert "ttl" in result.stderr


def test_subscribe_ends_after_count(hub, user):
    for n in range(3):
        hub.publish(user, data=n)
    process = subscribe(hub, "--user", user, "--device", f"{user}-d1", "--count", "3")
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert [json.loads(line)["data"] for line in output.splitlines()] == [0, 1, 2]
    # They were acked at the end.
    hub.publish(user, data="next")
    process = subscribe(hub, "--user", user, "--device", f"{user}-d1", "--count", "1")
    output, _ = process.communicate(timeout=20)
    assert json.loads(output)["data"] == "next"


def test_subscribe_survives_a_crash_of_the_server(server, tmp_path):
    process = subscribe(server, "--user", "alice", "--device", "d1", "--cursor-file", str(tmp_path / "cursor"))
    try:
        server.publish("alice", data=1)
        assert json.loads(process.stdout.readline())["data"] == 1
        server.kill9()
        server.restart()
        server.publish("alice", data=2)
        got = []
        while 2 not in got:
            got.append(json.loads(process.stdout.readline())["data"])
        assert set(got) <= {1, 2}
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_subscribe_ends_when_its_pipe_closes(hub, user):
    process = subscribe(hub, "--user", user, "--device", f"{user}-d1")
    try:
        hub.publish(user, data=1)
        process.stdout.readline()
        process.stdout.close()
        for n in range(3):
            hub.publish(user, data=n)
        wait_until(lambda: process.poll() is not None, 10, "the end of subscribe")
        assert process.returncode == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_a_pipe_from_subscribe_to_publish(hub, user):
    """Lines out are lines in."""
    for n in range(5):
        hub.publish(f"{user}-a", data=n)
    process = subscribe(hub, "--user", f"{user}-a", "--device", f"{user}-d1", "--count", "5")
    result = subprocess.run([binary(), "publish", "--url", hub.url, "--user", f"{user}-b"], stdin=process.stdout, capture_output=True, timeout=30)
    assert process.wait(10) == 0
    assert result.returncode == 0
    with RawSSE(hub, f"{user}-b", f"{user}-d2") as client:
        assert [message["data"]["data"] for message in client.take(5)] == list(range(5))


def test_curl_subscribes_and_publishes(hub, user):
    """The two commands of the README."""
    if not shutil.which("curl"):
        pytest.skip("no curl here")
    curl = ["curl", "-sS", "--noproxy", "*"]
    stream = subprocess.Popen([*curl, "-N", f"{hub.url}/v1/sse?user={user}&device=curl"], stdout=subprocess.PIPE, text=True)
    try:
        def line_with(start):
            for line in stream.stdout:
                if line.startswith(start):
                    return line
            raise AssertionError("curl ended")

        assert line_with("event:").strip() == "event: welcome"
        line_with("data:")
        result = subprocess.run(
            [*curl, f"{hub.url}/v1/messages", "-d", json.dumps({"to": {"user": user}, "type": "greeting", "data": "hello"})],
            capture_output=True, text=True, timeout=10)
        sent = json.loads(result.stdout)["id"]
        message = json.loads(line_with("data:").removeprefix("data:"))
        assert (message["id"], message["data"]) == (sent, "hello")
    finally:
        stream.kill()
        stream.wait()


def test_topics_in_a_pipe(hub):
    topic = unique("pipe, 50%\u0301,\u0308")
    with RawSSE(hub, None, None, topics=topic.replace("%", "%25").replace(",", "%2C")) as client:
        result = publish(hub, "--topic", topic, "--type", "t", stdin='{"n": 1}\ntext\n')
        assert result.returncode == 0, result.stderr
        assert [m["id"] for m in client.take(2)] == result.stdout.split()
    assert publish(hub, "--topic", topic, "--retain", "kept").returncode == 0
    process = subscribe(hub, "--topic", topic, "--topic", "other/#", "--count", "2", "--raw")
    assert process.stdout.readline() == "kept\n"
    assert publish(hub, "--topic", topic, "live").returncode == 0
    output, _ = process.communicate(timeout=20)
    assert (process.returncode, output) == (0, "live\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--topic", "a", "--user", "u", "x"), ("--topic", "a", "--priority", "high", "x"), ("--user", "u", "--retain", "x"),
        ("--topic", "a", "--collapse-key", "k", "x"), ("--topic", "a/#", "x"),
    ],
)
def test_publish_to_a_topic_says_what_is_wrong(hub, arguments):
    result = publish(hub, *arguments)
    assert result.returncode != 0 and result.stderr

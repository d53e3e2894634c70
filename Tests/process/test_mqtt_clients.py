"""The clients that people use: mosquitto_pub, mosquitto_sub and paho, with everything that they can say."""

import json
import subprocess

import pytest

from mqtt_tools import REFERENCE, MosquittoSub, Paho, mosquitto_pub, only_martlet, props
from server import unique

VERSIONS = pytest.mark.parametrize("version", ["311", "5"])
PAHO = pytest.mark.parametrize("version", [4, 5])


# ---------------------------------------------------------------- mosquitto's


@VERSIONS
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_publish_and_subscribe(broker, topic, qos, version):
    with MosquittoSub(broker, "-t", topic, "-q", qos, "-F", "%t %q %r %p", version=version) as sub:
        mosquitto_pub(broker, "-q", qos, topic=topic, body="hello wörld", version=version)
        assert sub.line() == f"{topic} {qos} 0 hello wörld"


@VERSIONS
def test_a_retained_message(broker, topic, version):
    mosquitto_pub(broker, "-q", "1", "-r", topic=topic, body="kept", version=version)
    with MosquittoSub(broker, "-t", topic, "-F", "%r %p", version=version) as sub:
        assert sub.line() == "1 kept"
        mosquitto_pub(broker, "-r", "-n", "-q", "1", topic=topic, version=version)
        assert sub.line() == "0 "
    with MosquittoSub(broker, "-t", topic, "-F", "%r %p", version=version) as sub:
        mosquitto_pub(broker, topic=topic, body="new", version=version)
        assert sub.line() == "0 new"


def test_properties_by_the_command_line(broker, topic):
    with MosquittoSub(broker, "-t", topic, "-q", "2", "-F", "%C|%D|%F|%R|%P|%p") as sub:
        mosquitto_pub(
            broker, "-q", "2", "-D", "publish", "content-type", "text/x", "-D", "publish", "correlation-data", "c1", "-D", "publish",
            "payload-format-indicator", "1", "-D", "publish", "response-topic", "back", "-D", "publish", "user-property", "k", "v", topic=topic, body="m")
        content, correlation, form, response, user, body = sub.line().split("|")
        assert (content, correlation, form, response, body) == ("text/x", "c1", "1", "back", "m")
        assert "k:v" in user


def test_expiry_by_the_command_line(broker, topic):
    with MosquittoSub(broker, "-t", topic, "-F", "%E") as sub:
        mosquitto_pub(broker, "-D", "publish", "message-expiry-interval", "60", topic=topic, body="m")
        assert sub.line() in ("60", "59")


def test_an_alias_by_the_command_line(broker, topic):
    """-l publishes each line, and with an alias all but the first without the topic."""
    with MosquittoSub(broker, "-t", topic) as sub:
        mosquitto_pub(broker, "-q", "1", "-D", "publish", "topic-alias", "1", topic=topic, lines="one\ntwo\nthree\n")
        assert sub.take(3) == ["one", "two", "three"]


@VERSIONS
def test_a_session_by_the_command_line(broker, topic, version):
    client = unique("sub")
    stays = ["-c"] if version == "311" else ["-c", "-x", "60"]
    with MosquittoSub(broker, "-t", topic, "-q", "1", *stays, version=version, client=client):
        pass
    mosquitto_pub(broker, "-q", "1", topic=topic, body="while away", version=version)
    with MosquittoSub(broker, "-t", topic, "-q", "1", *stays, version=version, client=client) as sub:
        assert sub.line() == "while away"


@VERSIONS
def test_a_will_by_the_command_line(broker, topic, version):
    with MosquittoSub(broker, "-t", topic, version=version) as watch:
        lost = MosquittoSub(broker, "-t", "x", "--will-topic", topic, "--will-payload", "lost", "--will-qos", "1", version=version)
        lost.process.kill()
        lost.process.wait()
        assert watch.line() == "lost"


def test_a_group_by_the_command_line(broker, topic):
    with MosquittoSub(broker, "-t", f"$share/g/{topic}", "-q", "1") as one, MosquittoSub(broker, "-t", f"$share/g/{topic}", "-q", "1") as two:
        for number in range(20):
            mosquitto_pub(broker, "-q", "1", topic=topic, body=str(number))
        got = []
        for sub in (one, two):
            while True:
                try:
                    got.append(sub.line(0.5))
                except AssertionError:
                    break
        assert sorted(got, key=int) == [str(number) for number in range(20)]


@VERSIONS
def test_a_large_binary_file(broker, topic, version, tmp_path):
    body = bytes(range(256)) * 200
    file = tmp_path / "body"
    file.write_bytes(body)
    with MosquittoSub(broker, "-t", topic, "-q", "2", "-F", "%x", version=version) as sub:
        mosquitto_pub(broker, "-q", "2", "-f", str(file), topic=topic, version=version)
        assert bytes.fromhex(sub.line()) == body


def test_a_request_and_its_answer(broker, topic):
    """mosquitto_rr asks and waits."""
    answers = unique("answers")
    with Paho(broker) as server:
        server.subscribe(topic, 1)
        asker = subprocess.Popen(
            ["mosquitto_rr", "-h", "127.0.0.1", "-p", str(broker.mqtt_port), "-V", "5", "-t", topic, "-e", answers, "-m", "6*7", "-D", "publish", "correlation-data", "c"],
            stdout=subprocess.PIPE)
        try:
            got = server.next()
            server.publish(got.properties.ResponseTopic, "42", 1, CorrelationData=got.properties.CorrelationData)
            assert asker.communicate(timeout=10)[0] == b"42\n"
        finally:
            asker.kill()
            asker.wait()


# ---------------------------------------------------------------- paho


@PAHO
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_paho(broker, topic, qos, version):
    with Paho(broker, version=version) as one, Paho(broker, version=version) as other:
        assert one.subscribe(f"{topic}/#", qos) == [qos]
        for number in range(30):
            other.publish(f"{topic}/x", str(number), qos)
        assert one.take(30) == [str(number) for number in range(30)]


def test_paho_properties(broker, topic):
    with Paho(broker) as one, Paho(broker) as other:
        one.subscribe(topic, 2, properties=props("SUBSCRIBE", SubscriptionIdentifier=9))
        other.publish(
            topic, "{}", 2, ContentType="application/json", ResponseTopic="back", CorrelationData=b"\0", PayloadFormatIndicator=1, MessageExpiryInterval=60,
            UserProperty=[("a", "1"), ("a", "2")])
        got = one.next().properties
        assert (got.ContentType, got.ResponseTopic, got.CorrelationData, got.PayloadFormatIndicator) == ("application/json", "back", b"\0", 1)
        assert got.UserProperty[:2] == [("a", "1"), ("a", "2")] and got.MessageExpiryInterval in (59, 60) and got.SubscriptionIdentifier == [9]


@PAHO
def test_paho_comes_back_to_its_session(broker, topic, version):
    client = unique("paho")
    values = {"SessionExpiryInterval": 60} if version == 5 else {}
    with Paho(broker, client, version, clean=False, **values) as one:
        assert not one.flags.session_present
        one.subscribe(topic, 1)
    with Paho(broker, version=version) as other:
        other.publish(topic, "while away", 1)
    with Paho(broker, client, version, clean=False, **values) as one:
        assert one.flags.session_present
        assert one.take(1) == ["while away"]


@PAHO
def test_paho_is_taken_over(broker, version):
    client = unique("paho")
    with Paho(broker, client, version) as one:
        one.client.on_connect = None  # it comes back by itself otherwise, and takes over in turn
        one.client.reconnect_delay_set(60, 60)
        with Paho(broker, client, version):
            code = one.event("disconnect")[2]
            assert version == 4 or REFERENCE or code.value == 0x8E


@PAHO
def test_paho_without_a_client_id(broker, version):
    with Paho(broker, "", version) as one:
        if version == 5:
            assert one.properties.AssignedClientIdentifier


def test_paho_options(broker, topic):
    with Paho(broker) as one, Paho(broker) as other:
        one.publish(topic, "kept", 1, retain=True)
        other.subscribe(topic, 1, retainHandling=2, retainAsPublished=True)
        one.subscribe(topic, 1, noLocal=True, retainHandling=1)
        assert one.take(1) == ["kept"]
        one.publish(topic, "mine", 1, retain=True)
        got = other.next()
        assert got.payload == b"mine" and got.retain
        other.publish(topic, "yours", 1)
        assert one.take(1) == ["yours"]
        other.publish(topic, "", 1, retain=True)


@PAHO
def test_paho_will(broker, topic, version):
    with Paho(broker, version=version) as watch:
        watch.subscribe(topic, 1)
        lost = Paho(broker, version=version, will=(topic, "lost", 1))
        lost.client.loop_stop()
        lost.client.socket().close()
        assert watch.take(1) == ["lost"]


@only_martlet
def test_many_large_messages(broker, topic):
    """As large as the server takes, and JSON as JSON."""
    with Paho(broker) as one, Paho(broker) as other:
        most = getattr(one.properties, "MaximumPacketSize", 65_536)
        one.subscribe(topic, 1)
        body = json.dumps({"text": "x" * (most - 1_000)})
        for _ in range(20):
            other.publish(topic, body, 1)
        assert one.take(20) == [body] * 20

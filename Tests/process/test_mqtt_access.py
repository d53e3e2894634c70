"""Who may what by MQTT outside dev mode: tokens, keys, rights that end, and no way to what is another's."""

import time

import pytest

from access import Guarded, token
from mqtt import PING, Ended, Type, Will, Wire, connect, publish, subscribe
from mqtt_tools import free_ports, mosquitto_pub, only_martlet
from server import unique, wait_until
from test_isolation_table import unsigned

pytestmark = only_martlet
VERSIONS = pytest.mark.parametrize("version", [4, 5])


class GuardedMQTT(Guarded):
    def __init__(self, data, *options: str):
        (self.mqtt_port,) = free_ports(1)
        super().__init__(data, "--mqtt-listen", f"127.0.0.1:{self.mqtt_port}", "--limits-subscribe-rate", "0", *options)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    server = GuardedMQTT(tmp_path_factory.mktemp("mqtt") / "data").start()
    server.keys = {
        "all": server.key("--scope", "publish,read,admin"), "publish": server.key("--scope", "publish"), "read": server.key("--scope", "read"),
        "acme": server.key("--app", "acme", "--scope", "publish,read,admin"),
    }
    for name, values in (("open", {"subscribe": "all", "publish": "all"}), ("closed", {"subscribe": "none", "publish": "none"})):
        assert server.request("PUT", f"/v1/namespaces/{name}", server.keys["all"], json=values).status_code == 200
    yield server
    assert server.process.poll() is None, server.tail()
    server.stop()


def enter(world, credential: str, version: int = 5, client: str | None = None, name: str = "", **values) -> Wire:
    return Wire.connected(world, client, version, user=name, password=credential, **values)


def may(wire: Wire, topic: str) -> set[str]:
    """What the connection may do with a topic, by trying."""
    found = set()
    id = wire.next_id
    wire.send(subscribe(id, (topic, 1), version=wire.version))
    (reason,) = wire.answer(Type.SUBACK).reasons
    assert reason in (0, 1, 0x87 if wire.version == 5 else 0x80)
    if reason < 0x80:
        found.add("subscribe")
    wire.send(publish(topic, "try", 1, id + 1, wire.version))
    got = wire.answer(Type.PUBACK)
    assert got.reason in (0, 0x10, 0x87)
    if wire.version == 5 and got.reason < 0x80:
        found.add("publish")
    wire.ids = id + 1
    return found


# ---------------------------------------------------------------- who comes in


def bad(world) -> dict[str, str]:
    now = int(time.time())
    return {
        "garbage": "hunter2", "an unknown key": "mk_abcdefghijkm_" + "A" * 43, "expired": token(iat=now - 60, exp=now - 1),
        "wrong signature": token(secret="x" * 32), "alg none": unsigned(), "another app's": token(app="acme"), "a bad claim": token(topics={"a": ["fly"]}),
        "half of a key": world.keys["all"][:-1],
    }


@VERSIONS
def test_bad_credentials(world, version):
    """0x86 or return code 4, and closed; no session is made, no will kept, and what comes with the CONNECT is not done."""
    with enter(world, world.keys["all"]) as watch:
        watch.subscribe(("#", 0))
        for name, credential in bad(world).items():
            with Wire(world, version) as wire:
                wire.send(connect(unique("bad"), version, user="alice", password=credential, will=Will("open/will", b"x")), publish("open/a", "x", version=version))
                got = wire.expect(Type.CONNACK)
                assert (got.reason, got.present) == (0x86 if version == 5 else 4, False), name
                with pytest.raises(Ended):
                    wire.packet()
        watch.silent()


@VERSIONS
def test_nothing_shown(world, version):
    for values in ({}, {"user": "alice"}, {"user": "alice", "password": ""}):
        with Wire(world, version) as wire:
            wire.send(connect(unique("none"), version, **values))
            assert wire.expect(Type.CONNACK).reason in ((0x86, 0x87) if version == 5 else (4, 5)), values
            with pytest.raises(Ended):
                wire.packet()


@VERSIONS
def test_a_token_for_one_device(world, version):
    """A pinned token is for that client id only."""
    shown = token("alice", device="phone-1")
    with enter(world, shown, version, "phone-1") as wire:
        wire.silent(0.05)
    with Wire(world, version) as wire:
        wire.send(connect("phone-2", version, user="", password=shown))
        assert wire.expect(Type.CONNACK).reason in ((0x85, 0x86, 0x87) if version == 5 else (2, 4, 5))
        with pytest.raises(Ended):
            wire.packet()


def test_by_the_command_line(world):
    ok = ("-u", "any", "-P", world.keys["publish"], "-q", "1")
    assert mosquitto_pub(world, *ok, topic="open/a", body="m").returncode == 0
    for version in ("311", "5"):
        assert mosquitto_pub(world, "-u", "any", "-P", "hunter2", topic="open/a", body="m", version=version, check=False).returncode != 0


# ---------------------------------------------------------------- what they may

CLAIMS = [
    (None, "open/a", {"subscribe", "publish"}), (None, "closed/a", set()), (None, "chat/a", set()), ([], "open/a", set()),
    (["chat/#"], "chat/a", {"subscribe"}), (["chat/#"], "other/a", set()), ({"chat/+": ["publish"]}, "chat/a", {"publish"}),
    ({"chat/+": ["publish"]}, "chat/a/b", set()), ({"#": ["subscribe", "publish"]}, "chat/a", {"subscribe", "publish"}), ({"#": ["subscribe", "publish"]}, "closed/a", set()),
]


@VERSIONS
@pytest.mark.parametrize("claim, topic, allowed", CLAIMS)
def test_what_a_token_allows(world, claim, topic, allowed, version):
    with enter(world, token("alice", **({} if claim is None else {"topics": claim})), version) as wire, enter(world, world.keys["read"]) as watch:
        watch.subscribe((topic, 1))
        assert may(wire, topic) == (allowed if version == 5 else allowed - {"publish"})
        if "publish" in allowed:
            assert watch.message().text == "try"
        else:
            watch.silent()  # 3.1.1 has no word for a refusal: it is acknowledged and dropped


@VERSIONS
def test_filters_need_one_right_that_covers_them(world, version):
    refused = 0x87 if version == 5 else 0x80
    with enter(world, token("alice", topics=["chat/+/x", "news/#"]), version) as wire:
        wire.send(subscribe(1, ("chat/+/x", 1), ("chat/#", 1), ("#", 1), ("news/+/a", 1), ("$share/g/news/#", 1), ("$share/g/chat/#", 1), version=version))
        assert wire.expect(Type.SUBACK).reasons == [1, refused, refused, 1, 1, refused]


@VERSIONS
@pytest.mark.parametrize("key, allowed", [("all", {"subscribe", "publish"}), ("publish", {"publish"}), ("read", {"subscribe"}), ("acme", {"subscribe", "publish"})])
def test_what_a_key_allows(world, key, allowed, version):
    for topic in ("open/k", "closed/k", "chat/k"):
        with enter(world, world.keys[key], version, name="anything") as wire:
            assert may(wire, topic) == (allowed if version == 5 else allowed - {"publish"})


def test_apps_do_not_meet(world):
    topic = "open/" + unique("apps")
    client = unique("client")
    with enter(world, world.keys["all"], client=client) as ours, enter(world, world.keys["acme"], client=client) as theirs:
        ours.silent(0.05)  # the same client id is another device there
        ours.subscribe((topic, 1))
        theirs.publish(topic, "theirs", 1, retain=True)
        ours.silent()


@VERSIONS
@pytest.mark.parametrize("end", ["revoked", "over"])
def test_a_key_that_ends_ends_its_connections(world, version, end):
    """As a token's end does, within seconds; other keys stay."""
    key = world.key("--scope", "publish,read", *(["--expires", "4s"] if end == "over" else []))
    wait_until(lambda: world.request("GET", "/v1/topics/open%2Fa", key).status_code == 200, 4, "the server to know the key")
    with enter(world, key, version) as wire, enter(world, world.keys["all"], version) as other:
        wire.subscribe(("open/#", 1))
        if end == "revoked":
            world.revoke(key)
        if version == 5:
            got = wire.packet(8)
            assert (got.type, got.reason) == (Type.DISCONNECT, 0x87)
        with pytest.raises(Ended):
            wire.packet(8)
        other.send(PING).expect(Type.PINGRESP)


def test_sys_and_the_inbox(world):
    """$SYS needs a token that names it; an inbox is only that of who comes with the token."""
    for claim, reason in ((["#"], 0x87), (["$SYS/#"], 0), (None, 0x87)):
        with enter(world, token("alice", **({} if claim is None else {"topics": claim}))) as wire:
            wire.send(subscribe(1, ("$SYS/broker/#", 0)))
            assert wire.answer(Type.SUBACK).reasons == [reason], claim
    with enter(world, token("alice"), client=unique("phone")) as wire:
        wire.subscribe(("$inbox", 1))
        key = world.keys["all"]
        for user in ("bob", "alice"):
            assert world.request("POST", "/v1/messages", key, json={"to": {"user": user}, "type": "t", "data": user}).status_code == 202
        assert wire.message().text == "alice"
        wire.silent()


# ---------------------------------------------------------------- wills, retained, ends


def test_a_will_without_the_right(world):
    """Refused with the CONNECT, or never published."""
    with enter(world, world.keys["read"]) as watch:
        watch.subscribe(("chat/#", 1))
        with Wire(world) as wire:
            wire.send(connect(unique("will"), user="", password=token("alice", topics=["chat/#"]), will=Will("chat/a", b"no", 1)))
            assert wire.expect(Type.CONNACK).reason in (0, 0x87)
        watch.silent()


def test_a_retained_value_needs_the_right_to_read(world):
    name = unique("kept")
    with enter(world, world.keys["publish"]) as wire:
        wire.publish(f"chat/{name}", "secret", 1, retain=True)
    with enter(world, token("alice", topics={"chat/#": ["publish"]})) as wire:
        wire.send(subscribe(1, (f"chat/{name}", 1)))
        assert wire.expect(Type.SUBACK).reasons == [0x87]
        wire.silent()


def test_a_right_that_is_taken_back(world):
    """When the namespace allows nobody any more, what was subscribed brings nothing, also after coming back to the session."""
    namespace, client = unique("taken"), unique("client")
    put = lambda **values: world.request("PUT", f"/v1/namespaces/{namespace}", world.keys["all"], json=values)  # noqa: E731
    assert put(subscribe="all", publish="all").status_code == 200
    with enter(world, token("alice"), client=client, session_expiry=60) as wire, enter(world, world.keys["publish"]) as other:
        wire.subscribe((f"{namespace}/a", 1))
        other.publish(f"{namespace}/a", "seen", 1)
        assert wire.message().text == "seen"
        assert put(subscribe="none", publish="none").status_code == 200
        other.publish(f"{namespace}/a", "secret", 1, retain=True)
        wire.silent()
        wire.leave()
        other.publish(f"{namespace}/a", "secret", 1)
    with enter(world, token("alice"), client=client, clean=False, session_expiry=60) as wire:
        wire.silent()


def test_a_token_of_less_rights_on_the_same_session(world):
    """What waits and what was subscribed with the old token is not sent to who comes back without the right."""
    client, name = unique("client"), unique("less")
    with enter(world, token("alice", topics=["chat/#"]), client=client, session_expiry=60) as wire:
        wire.subscribe((f"chat/{name}", 1))
        wire.leave()
    with enter(world, world.keys["publish"]) as other:
        other.publish(f"chat/{name}", "secret", 1)
        with enter(world, token("alice", topics=["news/#"]), client=client, clean=False, session_expiry=60) as wire:
            other.publish(f"chat/{name}", "secret", 1)
            wire.silent()


@VERSIONS
def test_a_token_ends(world, version):
    """The connection ends with it, and the will is published as for any other end of the server's."""
    now = int(time.time())
    with enter(world, token("alice", iat=now, exp=now + 2), version) as wire:
        wire.send(PING).expect(Type.PINGRESP)
        said = wire.ended(timeout=6)
        assert version == 4 or said.reason in (0x87, 0xA0), said
    assert time.time() >= now + 2


def test_a_key_that_is_revoked(world):
    key = world.key("--scope", "publish,read")
    with enter(world, key) as wire:
        wire.silent(0.05)
    world.revoke(key)

    def refused() -> bool:
        with Wire(world) as wire:
            wire.send(connect(unique("key"), user="", password=key))
            return wire.expect(Type.CONNACK).reason == 0x86

    wait_until(refused, 15, "the end of the key")


@VERSIONS
def test_a_client_id_is_no_way_into_anothers_session(world, version):
    """Bob says Alice's client id: he sees nothing that is hers, and hers is not his to throw out of her session's messages."""
    client, name = unique("phone"), unique("mine")
    stays = {"session_expiry": 60} if version == 5 else {"clean": False}
    with enter(world, token("alice", topics=[f"chat/{name}"]), version, client, **stays) as wire:
        wire.subscribe((f"chat/{name}", 1))
        wire.leave()
    with enter(world, world.keys["publish"]) as other:
        other.publish(f"chat/{name}", "for alice", 1)
        with Wire(world, version) as wire:
            wire.send(connect(client, version, **(stays | {"clean": False}), user="", password=token("bob", topics=["news/#"])))
            got = wire.expect(Type.CONNACK)
            assert not got.present
            if got.reason == 0:
                other.publish(f"chat/{name}", "for alice", 1)
                wire.silent()

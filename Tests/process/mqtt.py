"""MQTT 3.1.1 and 5.0 byte by byte: packets as they are written and read, and a client that says exactly what a test wants.

Nothing here keeps a rule of the protocol for the test: what is sent may be wrong, what comes is only taken apart.
"""

import enum
import socket
import struct
import time
from dataclasses import dataclass, field

from server import unique


class Type(enum.IntEnum):
    CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(1, 16)


# By the name that tests use (MQTT 5 §2.2.2.2): its number, and how its value is written.
PROPERTIES = {
    "payload_format": (0x01, "byte"), "message_expiry": (0x02, "four"), "content_type": (0x03, "text"), "response_topic": (0x08, "text"),
    "correlation": (0x09, "binary"), "subscription": (0x0B, "length"), "session_expiry": (0x11, "four"), "assigned_client": (0x12, "text"),
    "server_keep_alive": (0x13, "two"), "auth_method": (0x15, "text"), "auth_data": (0x16, "binary"), "request_problem": (0x17, "byte"),
    "will_delay": (0x18, "four"), "request_response": (0x19, "byte"), "response_information": (0x1A, "text"), "server_reference": (0x1C, "text"),
    "reason_string": (0x1F, "text"), "receive_maximum": (0x21, "two"), "alias_maximum": (0x22, "two"), "alias": (0x23, "two"),
    "maximum_qos": (0x24, "byte"), "retain_available": (0x25, "byte"), "user": (0x26, "pair"), "maximum_packet": (0x27, "four"),
    "wildcards": (0x28, "byte"), "subscription_ids": (0x29, "byte"), "shared": (0x2A, "byte"),
}
NAMES = {number: (name, kind) for name, (number, kind) in PROPERTIES.items()}
# May stand more than once, so their value is a list.
LISTS = ("user", "subscription")


# ---------------------------------------------------------------- writing


def length(value: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def two(value: int) -> bytes:
    return struct.pack(">H", value)


def text(value: str | bytes) -> bytes:
    """Bytes are written as they are, UTF-8 or not."""
    data = value.encode() if isinstance(value, str) else value
    return two(len(data)) + data


def properties(**values) -> bytes:
    """With their length before them. A property whose value is a list stands once for each; None leaves it out."""
    out = b""
    for name, value in values.items():
        number, kind = PROPERTIES[name]
        if value is None:
            continue
        for one in value if isinstance(value, list) else [value]:
            out += bytes([number]) + _value(kind, one)
    return length(len(out)) + out


def _value(kind: str, value) -> bytes:
    match kind:
        case "byte":
            return bytes([value])
        case "two":
            return two(value)
        case "four":
            return struct.pack(">I", value)
        case "length":
            return length(value)
        case "pair":
            return text(value[0]) + text(value[1])
    return text(value)


def packet(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    return bytes([kind << 4 | flags]) + length(len(body)) + body


@dataclass
class Will:
    topic: str | bytes
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    properties: dict = field(default_factory=dict)


def connect(
    client: str | bytes = "", version: int = 5, *, clean: bool = True, keep_alive: int = 60, user: str | bytes | None = None,
    password: str | bytes | None = None, will: Will | None = None, name: str | bytes = "MQTT", flags: int | None = None, level: int | None = None, **values,
) -> bytes:
    """`flags` and `level` say something else than the rest of the packet does."""
    said = clean << 1 | (user is not None) << 7 | (password is not None) << 6
    payload = text(client)
    if will:
        said |= 4 | will.qos << 3 | will.retain << 5
        payload += (properties(**will.properties) if version == 5 else b"") + text(will.topic) + text(will.payload)
    payload += b"".join(text(one) for one in (user, password) if one is not None)
    head = text(name) + bytes([version if level is None else level, said if flags is None else flags]) + two(keep_alive)
    return packet(Type.CONNECT, head + (properties(**values) if version == 5 else b"") + payload)


def publish(
    topic: str | bytes, payload: str | bytes = b"", qos: int = 0, id: int | None = None, version: int = 5, *, retain: bool = False, dup: bool = False, **values,
) -> bytes:
    body = text(topic) + (two(id) if id is not None else b"") + (properties(**values) if version == 5 else b"")
    return packet(Type.PUBLISH, body + (payload.encode() if isinstance(payload, str) else payload), dup << 3 | qos << 1 | retain)


def ack(kind: Type, id: int, reason: int = 0, version: int = 5, **values) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""
    body = two(id)
    if version == 5 and (reason or values):
        body += bytes([reason]) + (properties(**values) if values else b"")
    return packet(kind, body, 2 if kind == Type.PUBREL else 0)


def subscribe(id: int, *filters: str | bytes | tuple, version: int = 5, **values) -> bytes:
    """Each filter alone or with its options as a byte; alone it asks for QoS 2."""
    pairs = [one if isinstance(one, tuple) else (one, 2) for one in filters]
    body = b"".join(text(name) + bytes([options]) for name, options in pairs)
    return packet(Type.SUBSCRIBE, two(id) + (properties(**values) if version == 5 else b"") + body, 2)


def options(qos: int = 2, no_local: bool = False, as_published: bool = False, handling: int = 0) -> int:
    return qos | no_local << 2 | as_published << 3 | handling << 4


def unsubscribe(id: int, *filters: str | bytes, version: int = 5, **values) -> bytes:
    return packet(Type.UNSUBSCRIBE, two(id) + (properties(**values) if version == 5 else b"") + b"".join(map(text, filters)), 2)


def disconnect(reason: int = 0, version: int = 5, **values) -> bytes:
    return packet(Type.DISCONNECT, bytes([reason]) + properties(**values) if version == 5 and (reason or values) else b"")


PING = packet(Type.PINGREQ)


# ---------------------------------------------------------------- reading


class Reader:
    def __init__(self, data: bytes):
        self.data = data

    def take(self, count: int) -> bytes:
        assert len(self.data) >= count, f"the packet ends within a field: {self.data!r}"
        part, self.data = self.data[:count], self.data[count:]
        return part

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def length(self) -> int:
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                assert shift == 7 or byte, "not the shortest form"
                return value

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        return self.binary().decode()

    def properties(self) -> dict:
        inner = Reader(self.take(self.length()))
        found: dict = {}
        while inner.data:
            name, kind = NAMES[inner.length()]
            value = inner._value(kind)
            if name in LISTS:
                found.setdefault(name, []).append(value)
            else:
                assert name not in found, f"{name} twice"
                found[name] = value
        return found

    def _value(self, kind: str):
        match kind:
            case "byte":
                return self.number(1)
            case "two":
                return self.number(2)
            case "four":
                return self.number(4)
            case "length":
                return self.length()
            case "pair":
                return self.text(), self.text()
            case "binary":
                return self.binary()
        return self.text()


@dataclass
class Packet:
    """What a server sent; only the members of its type are set."""

    type: Type
    flags: int = 0
    id: int | None = None
    reason: int = 0
    reasons: list = field(default_factory=list)
    properties: dict = field(default_factory=dict)
    present: bool = False
    topic: str = ""
    payload: bytes = b""
    # All of it, with the fixed header.
    size: int = 0

    @property
    def qos(self) -> int:
        return self.flags >> 1 & 3

    @property
    def dup(self) -> bool:
        return bool(self.flags & 8)

    @property
    def retain(self) -> bool:
        return bool(self.flags & 1)

    @property
    def user(self) -> list:
        return self.properties.get("user", [])

    @property
    def text(self) -> str:
        return self.payload.decode()


def parse(first: int, body: bytes, version: int) -> Packet:
    got, reader, v5 = Packet(Type(first >> 4), first & 0xF), Reader(body), version == 5
    if got.type != Type.PUBLISH:
        assert got.flags == (2 if got.type == Type.PUBREL else 0), f"reserved bits in {got}"
    match got.type:
        case Type.CONNACK:
            flags = reader.number(1)
            assert flags < 2, "reserved bits in CONNACK"
            got.present, got.reason = bool(flags), reader.number(1)
            got.properties = reader.properties() if v5 else {}
        case Type.PUBLISH:
            got.topic = reader.text()
            got.id = reader.number(2) if got.qos else None
            got.properties = reader.properties() if v5 else {}
            got.payload, reader.data = reader.data, b""
        case Type.PUBACK | Type.PUBREC | Type.PUBREL | Type.PUBCOMP:
            got.id = reader.number(2)
            got.reason = reader.number(1) if v5 and reader.data else 0
            got.properties = reader.properties() if v5 and reader.data else {}
        case Type.SUBACK | Type.UNSUBACK:
            got.id = reader.number(2)
            got.properties = reader.properties() if v5 else {}
            got.reasons, reader.data = list(reader.data), b""
        case Type.DISCONNECT | Type.AUTH:
            assert v5, f"{got.type.name} of a server speaking 3.1.1"
            got.reason = reader.number(1) if reader.data else 0
            got.properties = reader.properties() if reader.data else {}
        case Type.PINGRESP:
            pass
        case _:
            raise AssertionError(f"no server sends {got.type.name}")
    assert not reader.data, f"{got.type.name} with bytes too many: {reader.data!r}"
    return got


# ---------------------------------------------------------------- a client


class Ended(AssertionError):
    """The server closed the connection where a packet was expected."""


class Wire:
    """A connection. `connected` says CONNECT and takes the CONNACK (`self.connack`); everything else is up to the test."""

    def __init__(self, broker, version: int = 5, timeout: float = 5, link=None):
        self.version, self.timeout = version, timeout
        self.link = link or socket.create_connection(("127.0.0.1", broker.mqtt_port), timeout)
        # An acknowledgement after an acknowledgement is not to wait for TCP's.
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        self.ids = 0
        self.connack: Packet | None = None
        # Messages that came while something else was waited for.
        self.held: list[Packet] = []

    @classmethod
    def connected(cls, broker, client: str | None = None, version: int = 5, *, reason: int = 0, timeout: float = 5, link=None, **values) -> "Wire":
        """A client id of its own unless one is given. Fails unless the answer has this reason."""
        wire = cls(broker, version, timeout, link)
        wire.client = unique("client") if client is None else client
        wire.send(connect(wire.client, version, **values))
        wire.connack = wire.expect(Type.CONNACK)
        assert wire.connack.reason == reason, wire.connack
        return wire

    # ------------------------------------------------------------ bytes

    def send(self, *parts: bytes) -> "Wire":
        self.link.settimeout(self.timeout)
        self.link.sendall(b"".join(parts))
        return self

    def packet(self, timeout: float | None = None) -> Packet:
        """The next packet; `Ended` if there is none any more."""
        return self.held.pop(0) if self.held else self._packet(timeout)

    def _packet(self, timeout: float | None) -> Packet:
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        head = 2
        while len(self.rest) < head or (self.rest[head - 1] >= 0x80 and head < 5):
            if len(self.rest) >= head:
                head += 1
            else:
                self._more(end)
        reader = Reader(self.rest[1:head])
        size = head + reader.length()
        while len(self.rest) < size:
            self._more(end)
        first, body, self.rest = self.rest[0], self.rest[head:size], self.rest[size:]
        got = parse(first, body, self.version)
        got.size = size
        return got

    def _more(self, end: float) -> None:
        self.link.settimeout(max(0.001, end - time.monotonic()))
        try:
            chunk = self.link.recv(65536)
        except TimeoutError:
            raise TimeoutError(f"nothing came in time, only {self.rest!r}") from None
        except ConnectionError as error:
            raise Ended(str(error)) from None
        if not chunk:
            raise Ended(f"the connection is closed after {self.rest!r}")
        self.rest += chunk

    # ------------------------------------------------------------ what a test expects

    def expect(self, kind: Type, timeout: float | None = None) -> Packet:
        got = self.packet(timeout)
        assert got.type == kind, f"{kind.name} expected, {got}"
        return got

    def answer(self, kind: Type, timeout: float | None = None) -> Packet:
        """Like `expect`, but messages may come before it: they are next after it."""
        while (got := self._packet(timeout)).type == Type.PUBLISH:
            self.held.append(got)
        assert got.type == kind, f"{kind.name} expected, {got}"
        return got

    def ended(self, *reasons: int, timeout: float | None = None) -> Packet | None:
        """The connection is closed, and (5.0) nothing or a DISCONNECT with one of these reasons before it, which is returned."""
        said = None
        try:
            while True:
                said = self.packet(timeout)
                assert said.type == Type.DISCONNECT and self.version == 5, f"an end expected, {said}"
                assert not reasons or said.reason in reasons, f"{[hex(one) for one in reasons]} expected, {said}"
        except Ended:
            return said

    def silent(self, seconds: float = 0.2) -> None:
        """Answers a ping, and says nothing else for a while."""
        self.send(PING).expect(Type.PINGRESP)
        try:
            got = self.packet(seconds)
        except TimeoutError:
            return
        raise AssertionError(f"unexpected {got}")

    # ------------------------------------------------------------ whole exchanges

    @property
    def next_id(self) -> int:
        self.ids += 1
        return self.ids

    def subscribe(self, *filters, **values) -> Packet:
        """Waits for the SUBACK, and fails if one was refused."""
        id = self.next_id
        self.send(subscribe(id, *filters, version=self.version, **values))
        got = self.answer(Type.SUBACK)
        assert got.id == id and len(got.reasons) == len(filters) and max(got.reasons) < 0x80, got
        return got

    def publish(self, topic: str, payload: str | bytes = b"", qos: int = 0, **values) -> int | None:
        """All of the exchange of its QoS; fails if the server refuses."""
        id = self.next_id if qos else None
        self.send(publish(topic, payload, qos, id, self.version, **values))
        steps = {0: [], 1: [Type.PUBACK], 2: [Type.PUBREC, Type.PUBCOMP]}[qos]
        for step in steps:
            got = self.answer(step)
            assert got.id == id and got.reason < 0x80, got
            if step == Type.PUBREC:
                self.send(ack(Type.PUBREL, id, version=self.version))
        return id

    def message(self, timeout: float | None = None) -> Packet:
        """The next message, acknowledged as its QoS asks for."""
        got = self.expect(Type.PUBLISH, timeout)
        if got.qos == 1:
            self.send(ack(Type.PUBACK, got.id, version=self.version))
        elif got.qos == 2:
            self.send(ack(Type.PUBREC, got.id, version=self.version))
            assert self.answer(Type.PUBREL, timeout).id == got.id
            self.send(ack(Type.PUBCOMP, got.id, version=self.version))
        return got

    def messages(self, count: int) -> list[str]:
        return [self.message().text for _ in range(count)]

    def leave(self, reason: int = 0, **values) -> None:
        """DISCONNECT, and waits until the server closes."""
        self.send(disconnect(reason, self.version, **values))
        self.ended()
        self.close()

    def drop(self) -> None:
        """Closes without a word."""
        self.close()

    def close(self) -> None:
        self.link.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

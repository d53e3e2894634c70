import MartletMQTT
import NIOCore
import Testing

/// A packet of each type as the specification draws it: the bytes say the packet, and the packet is written as these bytes.
struct VectorTests {
    struct Vector: Sendable, CustomTestStringConvertible {
        var name: String
        var version: MQTTVersion
        var sender: MQTTSender
        var bytes: [UInt8]
        var packet: MQTTPacket

        init(_ name: String, _ version: MQTTVersion, _ sender: MQTTSender, _ bytes: [UInt8], _ packet: MQTTPacket) {
            self.name = name
            self.version = version
            self.sender = sender
            self.bytes = bytes
            self.packet = packet
        }

        var testDescription: String { "\(self.name) in \(self.version)" }
    }

    @Test(arguments: Self.connecting + Self.messages + Self.subscribing)
    func thereAndBack(_ vector: Vector) throws {
        #expect(try Wire.decode(vector.bytes, vector.version, from: vector.sender) == vector.packet)
        #expect(Wire.encode(vector.packet, vector.version) == vector.bytes)
    }

    private static func with<Value>(_ value: Value, _ change: (inout Value) -> Void) -> Value {
        var value = value
        change(&value)
        return value
    }

    static let connecting: [Vector] = {
        // MQTT 5.0 figure 3-6, with a will, a user name and a password.
        let connect5 = Wire.packet(
            0x10, Wire.text("MQTT"), [5, 0b1100_1110, 0, 10], [5, 0x11, 0, 0, 0, 10], Wire.text("me"),
            Wire.properties([0x18, 0, 0, 0, 3], [0x01, 1]), Wire.text("gone"), Wire.text("bye"), Wire.text("user"), Wire.binary([1, 0, 2]))
        var packet5 = MQTTPacket.Connect(version: .v5, clientID: "me")
        packet5.keepAlive = 10
        packet5.properties.sessionExpiryInterval = 10
        packet5.will = with(.init(topic: "gone", payload: ByteBuffer(string: "bye"))) {
            $0.qos = .atLeastOnce
            $0.properties.willDelayInterval = 3
            $0.properties.payloadIsUTF8 = true
        }
        packet5.userName = "user"
        packet5.password = ByteBuffer(bytes: [1, 0, 2])

        // MQTT 3.1.1 figure 3.6.
        let connect4 = Wire.packet(
            0x10, Wire.text("MQTT"), [4, 0b1110_1110, 0, 10], Wire.text(""), Wire.text("w"), Wire.text("m"), Wire.text("u"), Wire.text("p"))
        var packet4 = MQTTPacket.Connect(version: .v311, clientID: "")
        packet4.keepAlive = 10
        packet4.will = with(.init(topic: "w", payload: ByteBuffer(string: "m"))) {
            $0.qos = .atLeastOnce
            $0.retain = true
        }
        packet4.userName = "u"
        packet4.password = ByteBuffer(string: "p")

        let packet3 = with(MQTTPacket.Connect(version: .v31, clientID: "old")) { $0.cleanStart = false }
        // MQTT 5 permits a password alone (§3.1.2.9).
        let token = with(MQTTPacket.Connect(version: .v5, clientID: "c")) { $0.password = ByteBuffer(string: "t") }

        return [
            Vector("CONNECT", .v5, .client, connect5, .connect(packet5)),
            Vector("CONNECT", .v311, .client, connect4, .connect(packet4)),
            Vector(
                "CONNECT", .v31, .client, Wire.packet(0x10, Wire.text("MQIsdp"), [3, 0, 0, 0], Wire.text("old")), .connect(packet3)),
            Vector(
                "a password alone", .v5, .client,
                Wire.packet(0x10, Wire.text("MQTT"), [5, 0b0100_0010, 0, 0, 0], Wire.text("c"), Wire.text("t")), .connect(token)),
            Vector("CONNACK", .v311, .server, [0x20, 2, 1, 0], .connack(.init(.success, sessionPresent: true))),
            Vector("a refusing CONNACK", .v311, .server, [0x20, 2, 0, 5], .connack(.init(.notAuthorized))),
            Vector("CONNACK", .v5, .server, [0x20, 3, 1, 0, 0], .connack(.init(.success, sessionPresent: true))),
            Vector("a refusing CONNACK", .v5, .server, [0x20, 3, 0, 0x8a, 0], .connack(.init(.banned))),
            Vector(
                "all of CONNACK", .v5, .server,
                Wire.packet(
                    0x20, [0, 0],
                    Wire.properties(
                        [0x11, 0, 0, 0, 9], [0x21, 0, 20], [0x24, 1], [0x25, 0], [0x27, 0, 1, 0, 0], [0x12], Wire.text("id"),
                        [0x22, 0, 7], [0x1f], Wire.text("why"), [0x26], Wire.text("n"), Wire.text("v"), [0x28, 1], [0x29, 0], [0x2a, 1],
                        [0x13, 0, 30], [0x1a], Wire.text("info"), [0x1c], Wire.text("other"), [0x15], Wire.text("m"),
                        [0x16], Wire.binary([9]))),
                .connack(
                    with(.init(.success)) {
                        $0.properties.sessionExpiryInterval = 9
                        $0.properties.receiveMaximum = 20
                        $0.properties.maximumQoS = .atLeastOnce
                        $0.properties.retainAvailable = false
                        $0.properties.maximumPacketSize = 65_536
                        $0.properties.assignedClientIdentifier = "id"
                        $0.properties.topicAliasMaximum = 7
                        $0.properties.reasonString = "why"
                        $0.properties.userProperties = [MQTTUserProperty("n", "v")]
                        $0.properties.wildcardSubscriptionAvailable = true
                        $0.properties.subscriptionIdentifierAvailable = false
                        $0.properties.sharedSubscriptionAvailable = true
                        $0.properties.serverKeepAlive = 30
                        $0.properties.responseInformation = "info"
                        $0.properties.serverReference = "other"
                        $0.properties.authenticationMethod = "m"
                        $0.properties.authenticationData = ByteBuffer(bytes: [9])
                    })),
            Vector("PINGREQ", .v311, .client, [0xc0, 0], .pingreq),
            Vector("PINGRESP", .v5, .server, [0xd0, 0], .pingresp),
            Vector("DISCONNECT", .v311, .client, [0xe0, 0], .disconnect(.init())),
            Vector("DISCONNECT", .v5, .client, [0xe0, 0], .disconnect(.init())),
            Vector("DISCONNECT with the will", .v5, .client, [0xe0, 1, 4], .disconnect(.init(.disconnectWithWillMessage))),
            Vector(
                "a server's DISCONNECT", .v5, .server, Wire.packet(0xe0, [0x8e], Wire.properties([0x1c], Wire.text("b"))),
                .disconnect(with(.init(.sessionTakenOver)) { $0.properties.serverReference = "b" })),
            Vector("an empty AUTH", .v5, .server, [0xf0, 0], .auth(.init(.success))),
            Vector(
                "AUTH", .v5, .client, Wire.packet(0xf0, [0x18], Wire.properties([0x15], Wire.text("GS2"), [0x16], Wire.binary([1]))),
                .auth(
                    with(.init(.continueAuthentication)) {
                        $0.properties.authenticationMethod = "GS2"
                        $0.properties.authenticationData = ByteBuffer(bytes: [1])
                    })),
        ]
    }()

    static let messages: [Vector] = {
        // MQTT 5.0 figure 3-9, MQTT 3.1.1 figure 3.11.
        let publish = with(MQTTPacket.Publish(topic: "a/b", payload: ByteBuffer(string: "hi"))) {
            $0.qos = .atLeastOnce
            $0.packetID = 10
        }
        let plain = with(MQTTPacket.Publish(topic: "a/b", payload: ByteBuffer())) { $0.retain = true }
        let full = with(MQTTPacket.Publish(topic: "a/b", payload: ByteBuffer(string: "é"))) {
            $0.qos = .exactlyOnce
            $0.isDuplicate = true
            $0.packetID = 0xffff
            $0.properties.payloadIsUTF8 = true
            $0.properties.messageExpiryInterval = 60
            $0.properties.topicAlias = 10
            $0.properties.responseTopic = "r"
            $0.properties.correlationData = ByteBuffer(bytes: [0, 1])
            $0.properties.userProperties = [MQTTUserProperty("k", "1"), MQTTUserProperty("k", ""), MQTTUserProperty("", "2")]
            $0.properties.contentType = "t"
        }
        let identified = with(plain) { $0.properties.subscriptionIdentifiers = [1, 268_435_455, 1] }
        let aliased = with(MQTTPacket.Publish(topic: "", payload: ByteBuffer())) { $0.properties.topicAlias = 1 }
        var all: [Vector] = [
            Vector("PUBLISH", .v5, .client, Wire.packet(0x32, Wire.text("a/b"), [0, 10, 0], Array("hi".utf8)), .publish(publish)),
            Vector("PUBLISH", .v311, .server, Wire.packet(0x32, Wire.text("a/b"), [0, 10], Array("hi".utf8)), .publish(publish)),
            Vector("a retained PUBLISH", .v311, .client, Wire.packet(0x31, Wire.text("a/b")), .publish(plain)),
            Vector("a retained PUBLISH", .v5, .client, Wire.packet(0x31, Wire.text("a/b"), [0]), .publish(plain)),
            Vector(
                "all of PUBLISH", .v5, .client,
                Wire.packet(
                    0x3c, Wire.text("a/b"), [0xff, 0xff],
                    Wire.properties(
                        [1, 1], [2, 0, 0, 0, 60], [0x23, 0, 10], [8], Wire.text("r"), [9], Wire.binary([0, 1]),
                        [0x26], Wire.text("k"), Wire.text("1"), [0x26], Wire.text("k"), Wire.text(""),
                        [0x26], Wire.text(""), Wire.text("2"), [3], Wire.text("t")), Array("é".utf8)), .publish(full)),
            Vector(
                "PUBLISH with subscription identifiers", .v5, .server,
                Wire.packet(0x31, Wire.text("a/b"), Wire.properties([0x0b, 1, 0x0b, 0xff, 0xff, 0xff, 0x7f, 0x0b, 1])), .publish(identified)),
            Vector("PUBLISH by alias", .v5, .client, Wire.packet(0x30, [0, 0], [3, 0x23, 0, 1]), .publish(aliased)),
        ]
        let firsts: [(MQTTPacket.Ack.Kind, UInt8)] = [(.puback, 0x40), (.pubrec, 0x50), (.pubrel, 0x62), (.pubcomp, 0x70)]
        for (kind, first) in firsts {
            let failure = kind.rawValue < 6 ? MQTTReasonCode.notAuthorized : .packetIdentifierNotFound
            let why = with(MQTTPacket.Ack(kind, packetID: 0x1234)) { $0.properties.reasonString = "so" }
            all += [
                Vector("\(kind)", .v311, .client, [first, 2, 0x12, 0x34], .ack(.init(kind, packetID: 0x1234))),
                Vector("\(kind)", .v5, .client, [first, 2, 0x12, 0x34], .ack(.init(kind, packetID: 0x1234))),
                Vector(
                    "a failing \(kind)", .v5, .server, [first, 3, 0, 1, failure.rawValue], .ack(.init(kind, packetID: 1, failure))),
                Vector(
                    "\(kind) that explains", .v5, .server, Wire.packet(first, [0x12, 0x34, 0], Wire.properties([0x1f], Wire.text("so"))),
                    .ack(why)),
            ]
        }
        return all
    }()

    static let subscribing: [Vector] = {
        guard let ab = try? MQTTTopicFilter("a/b"), let cd = try? MQTTTopicFilter("c/+"), let shared = try? MQTTTopicFilter("$share/g/a/#")
        else {
            Issue.record("a filter is refused")
            return []
        }
        // MQTT 5.0 figure 3-21, MQTT 3.1.1 figure 3.23.
        let two = MQTTPacket.Subscribe(packetID: 10, [.init(ab, .atLeastOnce), .init(cd, .exactlyOnce)])
        let options = with(MQTTPacket.Subscribe(packetID: 1, [.init(ab, .atMostOnce), .init(shared, .exactlyOnce)])) {
            $0.subscriptions[0].noLocal = true
            $0.subscriptions[0].retainAsPublished = true
            $0.subscriptions[0].retainHandling = .doNotSend
            $0.subscriptions[1].retainHandling = .sendIfNew
            $0.properties.subscriptionIdentifiers = [128]
            $0.properties.userProperties = [MQTTUserProperty("a", "b")]
        }
        return [
            Vector(
                "SUBSCRIBE", .v311, .client, Wire.packet(0x82, [0, 10], Wire.text("a/b"), [1], Wire.text("c/+"), [2]), .subscribe(two)),
            Vector("SUBSCRIBE", .v5, .client, Wire.packet(0x82, [0, 10, 0], Wire.text("a/b"), [1], Wire.text("c/+"), [2]), .subscribe(two)),
            Vector(
                "all of SUBSCRIBE", .v5, .client,
                Wire.packet(
                    0x82, [0, 1], Wire.properties([0x0b, 0x80, 1], [0x26], Wire.text("a"), Wire.text("b")),
                    Wire.text("a/b"), [0b0010_1100], Wire.text("$share/g/a/#"), [0b0001_0010]), .subscribe(options)),
            Vector(
                "SUBACK", .v311, .server, [0x90, 5, 0, 10, 0, 2, 0x80],
                .suback(.init(packetID: 10, [.grantedQoS0, .grantedQoS2, .unspecifiedError]))),
            Vector(
                "SUBACK", .v5, .server, [0x90, 6, 0, 10, 0, 1, 0x97, 0xa2],
                .suback(.init(packetID: 10, [.grantedQoS1, .quotaExceeded, .wildcardSubscriptionsNotSupported]))),
            Vector(
                "UNSUBSCRIBE", .v311, .client, Wire.packet(0xa2, [0, 10], Wire.text("a/b"), Wire.text("c/+")),
                .unsubscribe(.init(packetID: 10, [ab, cd]))),
            Vector(
                "UNSUBSCRIBE", .v5, .client, Wire.packet(0xa2, [0, 10, 0], Wire.text("a/b"), Wire.text("$share/g/a/#")),
                .unsubscribe(.init(packetID: 10, [ab, shared]))),
            Vector("UNSUBACK", .v311, .server, [0xb0, 2, 0, 10], .unsuback(.init(packetID: 10, []))),
            Vector(
                "UNSUBACK", .v5, .server, [0xb0, 5, 0, 10, 0, 0, 0x11],
                .unsuback(.init(packetID: 10, [.success, .noSubscriptionExisted]))),
        ]
    }()

    /// A server learns the version from the first CONNECT, and MQTT 3.1 may repeat with a flag of its own.
    @Test func theFirstConnectSetsTheVersion() throws {
        for vector in Self.connecting {
            guard case .connect(let connect) = vector.packet else { continue }
            var decoder = MQTTDecoder(limits: Wire.limits)
            var buffer = ByteBuffer(bytes: vector.bytes)
            #expect(try decoder.decode(&buffer) == vector.packet)
            #expect(decoder.version == connect.version)
        }
        #expect(try Wire.decode([0x6a, 2, 0, 1], .v31) == .ack(.init(.pubrel, packetID: 1)))
        #expect(Wire.refusal([0x6a, 2, 0, 1], .v311) == .malformedPacket)
    }

    /// The shorter forms of MQTT 5 may be written out (§3.4.2.1, §3.14.2.1).
    @Test func writtenOut() throws {
        #expect(try Wire.decode([0x40, 4, 0, 1, 0, 0], .v5) == .ack(.init(.puback, packetID: 1)))
        #expect(try Wire.decode([0x40, 3, 0, 1, 0], .v5) == .ack(.init(.puback, packetID: 1)))
        #expect(try Wire.decode([0xe0, 2, 0, 0], .v5) == .disconnect(.init()))
        // 3.1.1 does not ask for the shortest remaining length.
        #expect(try Wire.decode([0xc0, 0x80, 0x80, 0], .v311) == .pingreq)
    }

    /// [MQTT-1.5.4-3]: a byte order mark is a character like others; so are the non-characters, which a receiver may take.
    @Test func unusualCharacters() throws {
        for topic in ["\u{feff}a", "a\u{feff}", "\u{1}\u{7f}\u{9f}", "\u{fffe}\u{ffff}\u{10ffff}", "A\u{2a6d4}"] {
            let packet = try Wire.decode(Wire.packet(0x30, Wire.text(topic)), .v311)
            guard case .publish(let publish) = packet else {
                Issue.record("no PUBLISH")
                return
            }
            #expect(Array(publish.topic.utf8) == Array(topic.utf8))
        }
    }
}

import MartletMQTT
import NIOCore
import Testing

/// What must be refused, by the number of the statement that forbids it: of MQTT 5.0, or of 3.1.1 where that is the version.
struct RefusalTests {
    struct Refusal: Sendable, CustomTestStringConvertible {
        var rule: String
        var version: MQTTVersion?
        var sender: MQTTSender
        var bytes: [UInt8]
        var code: MQTTReasonCode

        init(_ rule: String, _ version: MQTTVersion?, _ code: MQTTReasonCode, from sender: MQTTSender = .client, _ bytes: [UInt8]) {
            self.rule = rule
            self.version = version
            self.sender = sender
            self.bytes = bytes
            self.code = code
        }

        var testDescription: String { "\(self.rule) in \(self.version.map { "\($0)" } ?? "any version")" }
    }

    @Test(arguments: Self.anyPacket + Self.connect + Self.publish + Self.answers + Self.subscribing)
    func refused(_ refusal: Refusal) {
        #expect(Wire.refusal(refusal.bytes, refusal.version, from: refusal.sender) == refusal.code)
    }

    /// A packet of which the last bytes are missing is refused wherever it ends, with its remaining length set to what is left.
    @Test(arguments: VectorTests.connecting + VectorTests.messages + VectorTests.subscribing)
    func cutShort(_ vector: VectorTests.Vector) throws {
        let (header, body) = (vector.bytes.prefix(2), vector.bytes.dropFirst(2))
        // Of those with longer headers, and where all lengths are right, others tell.
        guard header[1] < 128, body.count > 0 else { return }
        for count in 0..<body.count {
            let bytes = [header[0], UInt8(count)] + body.prefix(count)
            do throws(MQTTError) {
                let packet = try Wire.decode(bytes, vector.version, from: vector.sender)
                // A shorter payload, fewer filters or codes, and what MQTT 5 permits to leave out.
                #expect(packet != vector.packet, "\(count) bytes say the same")
            } catch {
                #expect([.malformedPacket, .protocolError, .topicNameInvalid, .payloadFormatInvalid].contains(error.code), "\(error)")
            }
        }
        // [MQTT-2.1.4]: and so is one with something behind its last field.
        if case .publish = vector.packet { return }
        let longer = [header[0], header[1] + 1] + body + [0xff]
        #expect(Wire.refusal(longer, vector.version, from: vector.sender) != nil)
    }

    static func connectBytes(
        name: String = "MQTT", level: UInt8 = 5, flags: UInt8 = 2, _ properties: [UInt8] = [0], _ payload: [UInt8] = Wire.text("c")
    ) -> [UInt8] {
        Wire.packet(0x10, Wire.text(name), [level, flags, 0, 0], level >= 5 ? properties : [], payload)
    }

    static let anyPacket: [Refusal] = [
        Refusal("§2.1.2 type 0", .v5, .malformedPacket, [0x00, 0]),
        Refusal("§2.1.2 type 0", nil, .malformedPacket, [0x00]),
        Refusal("§2.2.1 type 15", .v311, .malformedPacket, [0xf0, 0]),
        Refusal("[MQTT-2.1.3-1] flags", .v5, .malformedPacket, [0xc1]),
        Refusal("[MQTT-2.1.3-1] flags of SUBSCRIBE", .v5, .malformedPacket, [0x80]),
        Refusal("[MQTT-2.2.2-2] flags", .v311, .malformedPacket, [0xe4]),
        Refusal("[MQTT-3.1.0-1]", nil, .protocolError, [0x30]),
        Refusal("§2.1.2 direction", .v5, .protocolError, [0x20, 3, 0, 0, 0]),
        Refusal("§2.1.2 direction", .v5, .protocolError, from: .server, [0xc0, 0]),
        Refusal("§2.2.1 direction of DISCONNECT", .v311, .protocolError, from: .server, [0xe0, 0]),
        Refusal("§1.5.5 five bytes", nil, .malformedPacket, [0x10, 0x80, 0x80, 0x80, 0x80]),
        Refusal("§2.2.3 five bytes", .v311, .malformedPacket, [0x30, 0xff, 0xff, 0xff, 0xff]),
        Refusal("[MQTT-1.5.5-1]", .v5, .malformedPacket, [0xc0, 0x80, 0]),
        Refusal("[MQTT-1.5.5-1] in properties", .v5, .malformedPacket, Wire.packet(0x30, Wire.text("t"), [0x80, 0])),
        Refusal("§3.12.1 length", .v5, .malformedPacket, [0xc0, 1, 0]),
        Refusal("§3.14 length", .v311, .malformedPacket, [0xe0, 1, 0]),
        Refusal("§3.2.2.3.6", .v5, .packetTooLarge, [0x30] + Wire.length(100_000)),
        Refusal("[MQTT-1.5.4-1] a surrogate", .v5, .malformedPacket, Wire.packet(0x30, Wire.binary([0x61, 0xed, 0xa0, 0x80]), [0])),
        Refusal("[MQTT-1.5.4-1] overlong", .v5, .malformedPacket, Wire.packet(0x30, Wire.binary([0xc0, 0xaf]), [0])),
        Refusal("[MQTT-1.5.4-1] half a character", .v5, .malformedPacket, Wire.packet(0x30, Wire.binary([0xc3]), [0])),
        Refusal("[MQTT-1.5.3-1]", .v311, .malformedPacket, Wire.packet(0x30, Wire.binary([0xff]))),
        Refusal("[MQTT-1.5.4-2]", .v5, .malformedPacket, Wire.packet(0x30, Wire.binary([0x61, 0]), [0])),
        Refusal("[MQTT-1.5.3-2]", .v311, .malformedPacket, Wire.packet(0x30, Wire.binary([0]))),
        Refusal("§1.5.4 length", .v5, .malformedPacket, [0x30, 3, 0, 2, 0x61]),
        Refusal(
            "[MQTT-1.5.7-1] name", .v5, .malformedPacket,
            Wire.packet(0x30, Wire.text("t"), Wire.properties([0x26], Wire.binary([0xff]), Wire.text("v")))),
        Refusal(
            "[MQTT-1.5.7-1] value", .v5, .malformedPacket,
            Wire.packet(0x30, Wire.text("t"), Wire.properties([0x26], Wire.text("n"), Wire.binary([0])))),
    ]

    static let connect: [Refusal] = [
        Refusal("[MQTT-3.1.2-1]", nil, .unsupportedProtocolVersion, connectBytes(name: "mqtt")),
        Refusal("[MQTT-3.1.2-1] the old name", nil, .unsupportedProtocolVersion, connectBytes(name: "MQIsdp", level: 4)),
        Refusal("[MQTT-3.1.2-2] 6", nil, .unsupportedProtocolVersion, connectBytes(level: 6)),
        Refusal("[MQTT-3.1.2-2] 3", nil, .unsupportedProtocolVersion, connectBytes(level: 3)),
        Refusal("[MQTT-3.1.2-2] a bridge's", nil, .unsupportedProtocolVersion, connectBytes(level: 0x84)),
        Refusal("[MQTT-3.1.2-3]", nil, .malformedPacket, connectBytes(flags: 3)),
        Refusal("[MQTT-3.1.2-3] in 3.1.1", nil, .malformedPacket, connectBytes(level: 4, flags: 3)),
        Refusal("[MQTT-3.1.2-11]", nil, .malformedPacket, connectBytes(flags: 0b0000_1000)),
        Refusal("[MQTT-3.1.2-13]", nil, .malformedPacket, connectBytes(flags: 0b0010_0000)),
        Refusal("[MQTT-3.1.2-12]", nil, .malformedPacket, connectBytes(flags: 0b0001_1100, [0], Wire.text("c") + [0] + Wire.text("t") + [0, 0])),
        Refusal("[MQTT-3.1.2-22] in 3.1.1", nil, .malformedPacket, connectBytes(level: 4, flags: 0b0100_0000, [], Wire.text("c") + [0, 0])),
        Refusal("[MQTT-3.1.2-17] no user name", nil, .malformedPacket, connectBytes(flags: 0b1000_0010)),
        Refusal("[MQTT-3.1.3-3] no client identifier", nil, .malformedPacket, connectBytes([0], [])),
        Refusal("[MQTT-3.1.3-4]", nil, .malformedPacket, connectBytes([0], Wire.binary([0xff]))),
        Refusal("[MQTT-4.7.3-1] will topic", nil, .topicNameInvalid, connectBytes(flags: 4, [0], Wire.text("c") + [0, 0, 0, 0, 0])),
        Refusal(
            "[MQTT-3.3.2-2] will topic", nil, .topicNameInvalid, connectBytes(flags: 4, [0], Wire.text("c") + [0] + Wire.text("a/#") + [0, 0])),
        Refusal(
            "§3.1.3.2.3", nil, .payloadFormatInvalid,
            connectBytes(flags: 4, [0], Wire.text("c") + [2, 1, 1] + Wire.text("w") + Wire.binary([0xff]))),
        Refusal("[MQTT-1.5.5-1] of CONNECT", nil, .malformedPacket, [0x10, 0x8e, 0] + connectBytes().dropFirst(2)),
        Refusal("§3.1.2.11.3 receive maximum", nil, .protocolError, connectBytes([3, 0x21, 0, 0])),
        Refusal("§3.1.2.11.4 maximum packet size", nil, .protocolError, connectBytes([5, 0x27, 0, 0, 0, 0])),
        Refusal("§3.1.2.11.6", nil, .protocolError, connectBytes([2, 0x19, 2])),
        Refusal("§3.1.2.11.7", nil, .protocolError, connectBytes([2, 0x17, 0xff])),
        Refusal("§3.1.2.11.10", nil, .protocolError, connectBytes([4, 0x16, 0, 1, 7])),
        Refusal("[MQTT-3.2.2-1]", .v5, .malformedPacket, from: .server, [0x20, 3, 2, 0, 0]),
        Refusal("[MQTT-3.2.2-6]", .v5, .protocolError, from: .server, [0x20, 3, 1, 0x87, 0]),
        Refusal("[MQTT-3.2.2-4] in 3.1.1", .v311, .protocolError, from: .server, [0x20, 2, 1, 5]),
        Refusal("[MQTT-3.2.2-8]", .v5, .protocolError, from: .server, [0x20, 3, 0, 0x8e, 0]),
        Refusal("§3.2.2.3 return code 6", .v311, .protocolError, from: .server, [0x20, 2, 0, 6]),
        Refusal("§3.2.2.3.4 maximum QoS", .v5, .protocolError, from: .server, [0x20, 5, 0, 0, 2, 0x24, 2]),
    ]

    static let publish: [Refusal] = [
        Refusal("[MQTT-3.3.1-4]", .v5, .malformedPacket, [0x36]),
        Refusal("[MQTT-3.3.1-4]", .v311, .malformedPacket, [0x3e]),
        Refusal("[MQTT-3.3.1-2]", .v5, .malformedPacket, [0x38]),
        Refusal("[MQTT-3.3.1-2]", .v311, .malformedPacket, [0x39]),
        Refusal("[MQTT-2.2.1-3]", .v5, .protocolError, Wire.packet(0x32, Wire.text("t"), [0, 0, 0])),
        Refusal("[MQTT-2.3.1-1]", .v311, .protocolError, Wire.packet(0x34, Wire.text("t"), [0, 0])),
        Refusal("§3.3.2.2 no packet identifier", .v311, .malformedPacket, Wire.packet(0x32, Wire.text("t"))),
        Refusal("[MQTT-3.3.2-2] +", .v5, .topicNameInvalid, Wire.packet(0x30, Wire.text("a/+"), [0])),
        Refusal("[MQTT-3.3.2-2] #", .v311, .topicNameInvalid, Wire.packet(0x30, Wire.text("a#b"))),
        Refusal("§3.3.2.1 no topic", .v5, .protocolError, Wire.packet(0x30, [0, 0, 0])),
        Refusal("[MQTT-4.7.3-1] no topic", .v311, .topicNameInvalid, Wire.packet(0x30, [0, 0])),
        Refusal("[MQTT-3.3.2-8]", .v5, .topicAliasInvalid, Wire.packet(0x30, Wire.text("t"), [3, 0x23, 0, 0])),
        Refusal("[MQTT-3.3.2-9]", .v5, .topicAliasInvalid, Wire.packet(0x30, Wire.text("t"), [3, 0x23, 0, 11])),
        Refusal("[MQTT-3.3.4-6]", .v5, .protocolError, Wire.packet(0x30, Wire.text("t"), [2, 0x0b, 1])),
        Refusal("§3.3.2.3.8 identifier 0", .v5, .protocolError, from: .server, Wire.packet(0x30, Wire.text("t"), [2, 0x0b, 0])),
        Refusal("[MQTT-3.3.2-14]", .v5, .protocolError, Wire.packet(0x30, Wire.text("t"), Wire.properties([8], Wire.text("a/+")))),
        Refusal("§3.3.2.3.2", .v5, .payloadFormatInvalid, Wire.packet(0x30, Wire.text("t"), [2, 1, 1], [0x61, 0xe2, 0x82])),
        Refusal("§3.3.2.3.2 neither 0 nor 1", .v5, .protocolError, Wire.packet(0x30, Wire.text("t"), [2, 1, 2])),
    ]

    static let answers: [Refusal] = [
        Refusal("§2.2.1 identifier 0", .v5, .protocolError, [0x40, 2, 0, 0]),
        Refusal("[MQTT-3.4.2-1]", .v5, .protocolError, [0x40, 3, 0, 1, 0x92]),
        Refusal("[MQTT-3.4.2-1] unknown", .v5, .protocolError, [0x40, 3, 0, 1, 0x7f]),
        Refusal("[MQTT-3.5.2-1]", .v5, .protocolError, [0x50, 3, 0, 1, 0x01]),
        Refusal("[MQTT-3.6.1-1]", .v5, .malformedPacket, [0x60, 2, 0, 1]),
        Refusal("[MQTT-3.6.2-1]", .v5, .protocolError, [0x62, 3, 0, 1, 0x10]),
        Refusal("[MQTT-3.7.2-1]", .v5, .protocolError, [0x70, 3, 0, 1, 0x87]),
        Refusal("§3.4.2 length", .v311, .malformedPacket, [0x40, 3, 0, 1, 0]),
        Refusal("[MQTT-3.14.2-1]", .v5, .protocolError, [0xe0, 1, 0x8b]),
        Refusal("[MQTT-3.14.2-1] a server's", .v5, .protocolError, from: .server, [0xe0, 1, 0x04]),
        Refusal("[MQTT-3.14.2-2]", .v5, .malformedPacket, from: .server, [0xe0, 7, 0, 5, 0x11, 0, 0, 0, 1]),
        Refusal("[MQTT-3.14.1-1]", .v5, .malformedPacket, [0xe1, 0]),
        Refusal("[MQTT-3.15.1-1]", .v5, .malformedPacket, [0xf2, 0]),
        Refusal("[MQTT-3.15.2-1]", .v5, .protocolError, Wire.packet(0xf0, [0x80], Wire.properties([0x15], Wire.text("m")))),
        Refusal("§3.15.2.2.2", .v5, .protocolError, [0xf0, 2, 0x18, 0]),
    ]

    static let subscribing: [Refusal] = [
        Refusal("[MQTT-3.8.1-1]", .v5, .malformedPacket, [0x80, 8]),
        Refusal("[MQTT-3.10.1-1]", .v311, .malformedPacket, [0xa0, 8]),
        Refusal("[MQTT-2.2.1-3] SUBSCRIBE", .v5, .protocolError, Wire.packet(0x82, [0, 0, 0], Wire.text("a"), [0])),
        Refusal("[MQTT-2.3.1-1] UNSUBSCRIBE", .v311, .protocolError, Wire.packet(0xa2, [0, 0], Wire.text("a"))),
        Refusal("[MQTT-3.8.3-2]", .v5, .protocolError, [0x82, 3, 0, 1, 0]),
        Refusal("[MQTT-3.8.3-3]", .v311, .protocolError, [0x82, 2, 0, 1]),
        Refusal("[MQTT-3.10.3-2]", .v5, .protocolError, [0xa2, 3, 0, 1, 0]),
        Refusal("[MQTT-3.10.3-2]", .v311, .protocolError, [0xa2, 2, 0, 1]),
        Refusal("[MQTT-3.8.3-1] no options", .v5, .malformedPacket, Wire.packet(0x82, [0, 1, 0], Wire.text("a"))),
        Refusal("[MQTT-3.8.3-5]", .v5, .malformedPacket, Wire.packet(0x82, [0, 1, 0], Wire.text("a"), [0x40])),
        Refusal("[MQTT-3-8.3-4]", .v311, .malformedPacket, Wire.packet(0x82, [0, 1], Wire.text("a"), [0x04])),
        Refusal("§3.8.3.1 QoS 3", .v5, .protocolError, Wire.packet(0x82, [0, 1, 0], Wire.text("a"), [0x03])),
        Refusal("[MQTT-3-8.3-4] QoS 3", .v311, .malformedPacket, Wire.packet(0x82, [0, 1], Wire.text("a"), [0x03])),
        Refusal("§3.8.3.1 retain handling 3", .v5, .protocolError, Wire.packet(0x82, [0, 1, 0], Wire.text("a"), [0x30])),
        Refusal("[MQTT-3.8.3-4]", .v5, .protocolError, Wire.packet(0x82, [0, 1, 0], Wire.text("$share/g/a"), [0x04])),
        Refusal("[MQTT-4.7.3-1]", .v5, .topicFilterInvalid, Wire.packet(0x82, [0, 1, 0], Wire.text(""), [0])),
        Refusal("§3.8.2.1.2 identifier 0", .v5, .protocolError, Wire.packet(0x82, [0, 1, 2, 0x0b, 0], Wire.text("a"), [0])),
        Refusal("§3.8.2.1.2 two", .v5, .protocolError, Wire.packet(0x82, [0, 1, 4, 0x0b, 1, 0x0b, 2], Wire.text("a"), [0])),
        Refusal("[MQTT-3.9.3-2]", .v5, .protocolError, from: .server, [0x90, 4, 0, 1, 0, 3]),
        Refusal("[MQTT-3.9.3-2]", .v311, .protocolError, from: .server, [0x90, 3, 0, 1, 0x87]),
        Refusal("[MQTT-3.11.3-2]", .v5, .protocolError, from: .server, [0xb0, 4, 0, 1, 0, 1]),
        Refusal("§3.11 length", .v311, .malformedPacket, from: .server, [0xb0, 3, 0, 1, 0]),
    ]

    /// What is said of a protocol that is not known is said in the nearest version.
    @Test(arguments: [(6, .v5), (0xff, .v5), (2, .v311), (3, .v311)] as [(UInt8, MQTTVersion)])
    func unknownVersions(level: UInt8, nearest: MQTTVersion) {
        var decoder = MQTTDecoder(limits: Wire.limits)
        var buffer = ByteBuffer(bytes: Self.connectBytes(level: level))
        #expect(throws: MQTTError.self) { try decoder.decode(&buffer) }
        #expect(decoder.version == nearest)
    }

    /// Limits refuse one more than they say, and take what they say.
    @Test func limits() throws {
        func publish(_ count: Int) -> [UInt8] {
            Wire.packet(0x30, Wire.text("t"), Wire.properties(Array([[UInt8]](repeating: [0x26, 0, 0, 0, 0], count: count).joined())))
        }
        #expect(try Wire.decode(publish(4), .v5) != nil)
        #expect(Wire.refusal(publish(5), .v5) == .quotaExceeded)

        func filters(_ first: UInt8, _ count: Int) -> [UInt8] {
            let one = Wire.text("a") + (first == 0x82 ? [0] : [])
            return Wire.packet(first, [0, 1], Array([[UInt8]](repeating: one, count: count).joined()))
        }
        for first in [0x82, 0xa2] as [UInt8] {
            #expect(try Wire.decode(filters(first, 8), .v311) != nil)
            #expect(Wire.refusal(filters(first, 9), .v311) == .quotaExceeded)
        }

        let packet = Wire.packet(0x30, Wire.text("t"), [UInt8](repeating: 0, count: 200))
        #expect(try Wire.decode(packet, .v311, limits: .init(packetBytes: packet.count)) != nil)
        #expect(Wire.refusal(packet, .v311, limits: .init(packetBytes: packet.count - 1)) == .packetTooLarge)
        #expect(Wire.refusal(Array(packet.prefix(3)), .v311, limits: .init(packetBytes: packet.count - 1)) == .packetTooLarge)

        let wrong = Wire.packet(0x30, Wire.text("t"), [2, 1, 1], [0xff])
        #expect(try Wire.decode(wrong, .v5, limits: .init(packetBytes: 100, checksPayloadFormat: false)) != nil)
    }
}

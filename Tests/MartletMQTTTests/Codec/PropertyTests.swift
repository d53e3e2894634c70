import MartletMQTT
import NIOCore
import Testing

/// MQTT 5.0 §2.2.2: which properties may stand where, once or more.
struct PropertyTests {
    /// Table 2-4: a property with some value, and the places that it may stand in.
    static let table: [(id: UInt8, value: [UInt8], places: Set<Place>)] = [
        (0x01, [1], [.publish, .will]),
        (0x02, [0, 0, 0, 1], [.publish, .will]),
        (0x03, [0, 1, 0x61], [.publish, .will]),
        (0x08, [0, 1, 0x61], [.publish, .will]),
        (0x09, [0, 1, 0xff], [.publish, .will]),
        (0x0b, [1], [.serverPublish, .subscribe]),
        (0x11, [0, 0, 0, 1], [.connect, .connack, .disconnect]),
        (0x12, [0, 1, 0x61], [.connack]),
        (0x13, [0, 1], [.connack]),
        (0x15, [0, 1, 0x61], [.connect, .connack, .auth]),
        (0x16, [0, 1, 0xff], [.connect, .connack, .auth]),
        (0x17, [1], [.connect]),
        (0x18, [0, 0, 0, 1], [.will]),
        (0x19, [1], [.connect]),
        (0x1a, [0, 1, 0x61], [.connack]),
        (0x1c, [0, 1, 0x61], [.connack, .serverDisconnect]),
        (0x1f, [0, 1, 0x61], [.connack, .puback, .pubrec, .pubrel, .pubcomp, .suback, .unsuback, .disconnect, .serverDisconnect, .auth]),
        (0x21, [0, 1], [.connect, .connack]),
        (0x22, [0, 1], [.connect, .connack]),
        (0x23, [0, 1], [.publish, .serverPublish]),
        (0x24, [1], [.connack]),
        (0x25, [1], [.connack]),
        (0x26, [0, 1, 0x61, 0, 1, 0x62], Set(Place.allCases)),
        (0x27, [0, 0, 0, 9], [.connect, .connack]),
        (0x28, [1], [.connack]),
        (0x29, [1], [.connack]),
        (0x2a, [1], [.connack]),
    ]

    enum Place: CaseIterable, Sendable {
        case connect, will, connack, publish, serverPublish, puback, pubrec, pubrel, pubcomp, subscribe, suback, unsubscribe, unsuback,
            disconnect, serverDisconnect, auth

        var sender: MQTTSender {
            switch self {
            case .connack, .serverPublish, .suback, .unsuback, .serverDisconnect: .server
            default: .client
            }
        }

        /// A packet with these properties.
        func packet(_ properties: [UInt8]) -> [UInt8] {
            let block = Wire.properties(properties)
            switch self {
            case .connect: return Wire.packet(0x10, Wire.text("MQTT"), [5, 2, 0, 0], block, Wire.text("c"))
            case .will: return Wire.packet(0x10, Wire.text("MQTT"), [5, 6, 0, 0, 0], Wire.text("c"), block, Wire.text("w"), [0, 0])
            case .connack: return Wire.packet(0x20, [0, 0], block)
            case .publish, .serverPublish: return Wire.packet(0x30, Wire.text("t"), block)
            case .puback: return Wire.packet(0x40, [0, 1, 0], block)
            case .pubrec: return Wire.packet(0x50, [0, 1, 0], block)
            case .pubrel: return Wire.packet(0x62, [0, 1, 0], block)
            case .pubcomp: return Wire.packet(0x70, [0, 1, 0], block)
            case .subscribe: return Wire.packet(0x82, [0, 1], block, Wire.text("f"), [0])
            case .suback: return Wire.packet(0x90, [0, 1], block, [0])
            case .unsubscribe: return Wire.packet(0xa2, [0, 1], block, Wire.text("f"))
            case .unsuback: return Wire.packet(0xb0, [0, 1], block, [0])
            case .disconnect, .serverDisconnect: return Wire.packet(0xe0, [0x81], block)
            case .auth: return Wire.packet(0xf0, [0x18], block)
            }
        }
    }

    @Test(arguments: Place.allCases)
    func allowed(in place: Place) {
        // Where authentication data may stand, the method must too; and AUTH must have it.
        let method: [UInt8] = [0x15, 0, 1, 0x6d]
        for entry in Self.table {
            let needsMethod = entry.id != 0x15 && (place == .auth || entry.id == 0x16 && entry.places.contains(place))
            let bytes = (needsMethod ? method : []) + [entry.id] + entry.value
            var expected: MQTTReasonCode? = entry.places.contains(place) ? nil : .malformedPacket
            if entry.id == 0x0b, place == .publish { expected = .protocolError }
            if entry.id == 0x01, entry.places.contains(place) { #expect(entry.value == [1]) }
            let refusal = Wire.refusal(place.packet(bytes), .v5, from: place.sender)
            // Table 2-4 has the topic alias and the messages' properties for both directions.
            let both = place == .serverPublish && entry.places.contains(.publish)
            #expect(refusal == (both ? nil : expected), "property \(entry.id)")

            guard refusal == nil else { continue }
            let twice = Wire.refusal(place.packet(bytes + [entry.id] + entry.value), .v5, from: place.sender)
            let mayRepeat = entry.id == 0x26 || entry.id == 0x0b && place == .serverPublish
            #expect(twice == (mayRepeat ? nil : .protocolError), "property \(entry.id) twice")
            #expect(Wire.refusal(place.packet(bytes.dropLast()), .v5, from: place.sender) == .malformedPacket, "property \(entry.id) cut")
        }
    }

    /// All others are unknown, longer forms of the known ones too.
    @Test func unknown() {
        let known = Set(Self.table.map(\.id))
        #expect(known.count == 27)
        for id in UInt8.min...UInt8.max where !known.contains(id) {
            #expect(Wire.refusal(Place.publish.packet([id, 1]), .v5) == .malformedPacket, "property \(id)")
        }
        for id: [UInt8] in [[0x81, 0], [0x83, 0x80, 0], [0xff, 0xff, 0xff, 0x7f], [0x80, 0x80, 0x80, 0x80, 1]] {
            #expect(Wire.refusal(Place.publish.packet(id + [1]), .v5) == .malformedPacket, "property \(id)")
        }
    }

    /// A property length that is longer or shorter than the properties.
    @Test func lengths() {
        for length in [0, 1, 2, 4, 5, 200] as [UInt8] {
            let bytes = Wire.packet(0x40, [0, 1, 0], [length, 0x1f, 0, 0])
            #expect(Wire.refusal(bytes, .v5) == .malformedPacket, "length \(length)")
        }
        #expect(Wire.refusal(Wire.packet(0x40, [0, 1, 0], [3, 0x1f, 0, 0]), .v5) == nil)
    }

    /// Setting and unsetting touch one property only.
    @Test func setting() {
        var properties = MQTTProperties()
        #expect(properties.isEmpty)
        properties.reasonString = "a"
        properties.userProperties = [MQTTUserProperty("n", "1"), MQTTUserProperty("n", "1")]
        properties.reasonString = "b"
        #expect(properties.reasonString == "b")
        #expect(properties.userProperties.count == 2)
        properties.subscriptionIdentifiers = [3, 3]
        properties.userProperties = []
        #expect(properties.subscriptionIdentifiers == [3, 3])
        properties.subscriptionIdentifiers = []
        #expect(properties.topicAlias == nil)
        properties.reasonString = nil
        #expect(properties.isEmpty)
    }

    /// None take no memory of their own, and the packet most sent stays small.
    @Test func sizes() {
        #expect(MemoryLayout<MQTTProperties>.size == MemoryLayout<Int>.size)
        #expect(MemoryLayout<MQTTPacket.Publish>.size <= 64)
        #expect(MemoryLayout<MQTTPacket>.size <= 72)
    }
}

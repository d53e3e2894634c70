import MartletMQTT
import NIOCore
import Testing

struct MQTTEncoderTests {
    private func explained(_ change: (inout MQTTProperties) -> Void = { _ in }) -> MQTTProperties {
        var properties = MQTTProperties()
        properties.reasonString = "because"
        properties.userProperties = [MQTTUserProperty("name", "value"), MQTTUserProperty("more", "values")]
        change(&properties)
        return properties
    }

    private var answers: [MQTTPacket] {
        var connack = MQTTPacket.Connack(.success)
        connack.properties = self.explained { $0.serverKeepAlive = 9 }
        var ack = MQTTPacket.Ack(.puback, packetID: 1, .quotaExceeded)
        ack.properties = self.explained()
        var suback = MQTTPacket.Suback(packetID: 1, [.grantedQoS0])
        suback.properties = self.explained()
        var unsuback = MQTTPacket.Unsuback(packetID: 1, [.success])
        unsuback.properties = self.explained()
        var disconnect = MQTTPacket.Disconnect(.serverBusy)
        disconnect.properties = self.explained()
        var auth = MQTTPacket.Auth(.continueAuthentication)
        auth.properties = self.explained { $0.authenticationMethod = "m" }
        return [.connack(connack), .ack(ack), .suback(suback), .unsuback(unsuback), .disconnect(disconnect), .auth(auth)]
    }

    private func properties(_ packet: MQTTPacket?) -> MQTTProperties? {
        switch packet {
        case .connack(let packet): packet.properties
        case .ack(let packet): packet.properties
        case .suback(let packet): packet.properties
        case .unsuback(let packet): packet.properties
        case .disconnect(let packet): packet.properties
        case .auth(let packet): packet.properties
        default: nil
        }
    }

    /// [MQTT-3.2.2-19], [MQTT-3.2.2-20], [MQTT-3.4.2-2], [MQTT-3.4.2-3] and so on: first the user properties go, then the reason string;
    /// what is too long without them is not written.
    @Test func answersShrink() throws {
        for packet in self.answers {
            let whole = try #require(Wire.encode(packet, .v5))
            #expect(Wire.encode(packet, .v5, most: whole.count) == whole)

            let withoutUsers = try #require(Wire.encode(packet, .v5, most: whole.count - 1))
            let shorter = try #require(self.properties(Wire.decode(withoutUsers, .v5, from: .server)))
            #expect(shorter.reasonString == "because" && shorter.userProperties.isEmpty)

            let bare = try #require(Wire.encode(packet, .v5, most: withoutUsers.count - 1))
            let shortest = try #require(self.properties(Wire.decode(bare, .v5, from: .server)))
            #expect(shortest.reasonString == nil && shortest.userProperties.isEmpty)
            #expect(shortest.serverKeepAlive == self.properties(packet)?.serverKeepAlive)
            #expect(shortest.authenticationMethod == self.properties(packet)?.authenticationMethod)

            #expect(Wire.encode(packet, .v5, most: bare.count - 1) == nil)
        }
    }

    /// [MQTT-3.1.2-29]: without problem information only CONNACK and DISCONNECT explain themselves, and messages keep what is theirs.
    @Test func problemInformation() throws {
        let encoder = MQTTEncoder(version: .v5, sendsProblemInformation: false)
        for packet in self.answers {
            var buffer = ByteBuffer()
            #expect(encoder.encode(packet, into: &buffer))
            let properties = try #require(self.properties(Wire.decode(Array(buffer.readableBytesView), .v5, from: .server)))
            switch packet {
            case .connack, .disconnect: #expect(properties == self.properties(packet))
            default: #expect(properties.reasonString == nil && properties.userProperties.isEmpty)
            }
        }
        var publish = MQTTPacket.Publish(topic: "t", payload: ByteBuffer())
        publish.properties.userProperties = [MQTTUserProperty("a", "b")]
        var buffer = ByteBuffer()
        #expect(encoder.encode(.publish(publish), into: &buffer))
        #expect(try Wire.decode(Array(buffer.readableBytesView), .v5) == .publish(publish))
    }

    /// What cannot be written leaves the buffer as it was.
    @Test func notWritten() {
        let long = String(repeating: "x", count: 65_536)
        var noID = MQTTPacket.Publish(topic: "t", payload: ByteBuffer())
        noID.qos = .atLeastOnce
        var longProperty = MQTTPacket.Publish(topic: "t", payload: ByteBuffer())
        longProperty.properties.contentType = long
        var badIdentifier = MQTTPacket.Publish(topic: "t", payload: ByteBuffer())
        badIdentifier.properties.subscriptionIdentifiers = [268_435_456]
        let packets: [(MQTTPacket, MQTTVersion)] = [
            (.auth(.init(.success)), .v311), (.connack(.init(.malformedPacket)), .v311), (.publish(noID), .v5), (.publish(longProperty), .v5),
            (.publish(badIdentifier), .v5), (.publish(.init(topic: long, payload: ByteBuffer())), .v311),
            (.connect(.init(version: .v5, clientID: long)), .v5),
        ]
        for (packet, version) in packets {
            var buffer = ByteBuffer(string: "before")
            #expect(!MQTTEncoder(version: version).encode(packet, into: &buffer), "\(packet)")
            #expect(buffer.text == "before")
        }
        var buffer = ByteBuffer(string: "before")
        let publish = MQTTPacket.publish(.init(topic: "t", payload: ByteBuffer(string: "four")))
        #expect(!MQTTEncoder(version: .v311, packetBytes: 8).encode(publish, into: &buffer))
        #expect(MQTTEncoder(version: .v311, packetBytes: 9).encode(publish, into: &buffer))
        #expect(buffer.readableBytes == 6 + 9)
    }

    /// Packets follow each other in one buffer, also behind a part that was read, with remaining lengths of all sizes.
    @Test func oneAfterAnother() throws {
        var buffer = ByteBuffer(string: "read rest")
        buffer.moveReaderIndex(forwardBy: 5)
        let counts = [0, 60, 125, 126, 127, 128, 129, 8_190, 16_380, 16_384, 30_000, 65_535]
        let encoder = MQTTEncoder(version: .v5)
        for count in counts {
            var ack = MQTTPacket.Ack(.pubrec, packetID: 7, .unspecifiedError)
            ack.properties.reasonString = String(repeating: "r", count: count)
            #expect(encoder.encode(.ack(ack), into: &buffer))
            #expect(encoder.encode(.publish(.init(topic: "t", payload: ByteBuffer(repeating: 1, count: count))), into: &buffer))
        }
        #expect(buffer.readString(length: 4) == "rest")
        var decoder = MQTTDecoder(version: .v5, limits: Wire.limits)
        for count in counts {
            guard case .ack(let ack)? = try decoder.decode(&buffer), case .publish(let publish)? = try decoder.decode(&buffer) else {
                Issue.record("not what was written")
                return
            }
            #expect(ack.properties.reasonString?.utf8.count == count && publish.payload.readableBytes == count)
        }
        #expect(buffer.readableBytes == 0)
    }

    /// 3.1.1 §3.2.2.3: each return code comes back as itself, and other reasons as the nearest.
    @Test func returnCodes() {
        for code in MQTTConnectReturnCode.allCases { #expect(code.reason.connectReturnCode == code) }
        #expect(MQTTReasonCode.banned.connectReturnCode == .notAuthorized)
        #expect(MQTTReasonCode.serverBusy.connectReturnCode == .serverUnavailable)
        #expect(MQTTReasonCode.protocolError.connectReturnCode == nil)
        #expect(Wire.encode(.suback(.init(packetID: 1, [.grantedQoS1, .notAuthorized])), .v311) == [0x90, 4, 0, 1, 1, 0x80])
        #expect(MQTTReasonCode.allCases.count == 43)
    }
}

/// One message for many receivers.
struct MQTTPublishFrameTests {
    private func publish(_ qos: MQTTQoS, payload: Int = 5) -> MQTTPacket.Publish {
        var publish = MQTTPacket.Publish(topic: "a/b", payload: ByteBuffer(repeating: 7, count: payload))
        publish.qos = qos
        publish.retain = true
        publish.properties.contentType = "t"
        publish.properties.userProperties = [MQTTUserProperty("n", "v")]
        return publish
    }

    @Test(arguments: [.v311, .v5] as [MQTTVersion], [0, 5, 200, 20_000])
    func atMostOnce(version: MQTTVersion, payload: Int) throws {
        let publish = self.publish(.atMostOnce, payload: payload)
        let frame = try #require(MQTTPublishFrame(publish, version: version))
        #expect(frame.packetIDIndex == nil)
        #expect(frame.size == frame.bytes.readableBytes && frame.size == publish.encodedBytes(version))
        #expect(Array(frame.bytes.readableBytesView) == Wire.encode(.publish(publish), version))
        var copy = ByteBuffer()
        frame.write(packetID: 9, isDuplicate: true, into: &copy)
        #expect(copy == frame.bytes)
        #expect(frame.payload == publish.payload)
    }

    @Test(arguments: [.v311, .v5] as [MQTTVersion], [0, 5, 200, 20_000])
    func numbered(version: MQTTVersion, payload: Int) throws {
        for qos in [MQTTQoS.atLeastOnce, .exactlyOnce] {
            var publish = self.publish(qos, payload: payload)
            publish.packetID = 77
            let frame = try #require(MQTTPublishFrame(publish, version: version))
            #expect(frame.size == publish.encodedBytes(version))
            var buffer = ByteBuffer(string: "before")
            for (id, isDuplicate) in [(1, false), (0xabcd, true)] as [(UInt16, Bool)] {
                publish.packetID = id
                publish.isDuplicate = isDuplicate
                let expected = try #require(Wire.encode(.publish(publish), version))
                let index = try #require(frame.packetIDIndex)
                #expect(expected[index] == UInt8(id >> 8) && expected[index + 1] == UInt8(id & 0xff))

                let start = buffer.writerIndex
                frame.write(packetID: id, isDuplicate: isDuplicate, into: &buffer)
                #expect(buffer.getBytes(at: start, length: buffer.writerIndex - start) == expected)

                let head = frame.head(packetID: id, isDuplicate: isDuplicate)
                #expect(Array(head.readableBytesView) + Array(frame.payload.readableBytesView) == expected)
            }
            #expect(frame.bytes.getInteger(at: frame.packetIDIndex ?? 0, as: UInt16.self) == 0)
        }
    }

    @Test func notWritten() {
        var publish = self.publish(.atLeastOnce)
        publish.properties.contentType = String(repeating: "x", count: 65_536)
        #expect(MQTTPublishFrame(publish, version: .v5) == nil)
        #expect(MQTTPublishFrame(publish, version: .v311) != nil)
    }
}

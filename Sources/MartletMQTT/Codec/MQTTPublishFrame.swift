package import NIOCore

/// One PUBLISH, written once for many receivers of the same version, QoS, retain flag and properties.
///
/// At QoS 0 all are sent ``bytes``. At QoS 1 and 2 each gets a copy with a packet identifier of its own: ``write(packetID:isDuplicate:into:)``
/// for short payloads, ``head(packetID:isDuplicate:)`` and then ``payload``, which is not copied, for long ones.
package struct MQTTPublishFrame: Sendable {
    /// The whole packet. At QoS 1 and 2 its packet identifier is 0, which must not be sent.
    package let bytes: ByteBuffer
    /// Where its two bytes are, counted from the first byte of the packet; nil at QoS 0.
    package let packetIDIndex: Int?
    private let payloadBytes: Int

    /// - Parameter publish: its packet identifier and duplicate flag do not count.
    /// - Returns: nil if a field has more than 65,535 bytes, or the packet more than MQTT can say.
    package init?(_ publish: MQTTPacket.Publish, version: MQTTVersion) {
        guard let size = publish.encodedBytes(version) else { return nil }
        var publish = publish
        publish.packetID = nil
        publish.isDuplicate = false
        var bytes = ByteBuffer()
        Self.write(publish, version, bytes: size, into: &bytes)
        self.bytes = bytes
        self.payloadBytes = publish.payload.readableBytes
        if publish.qos == .atMostOnce {
            self.packetIDIndex = nil
        } else {
            let properties = version.hasProperties ? publish.properties.blockBytes : 0
            self.packetIDIndex = size - self.payloadBytes - properties - 2
        }
    }

    /// Bytes of the packet: what a receiver's Maximum Packet Size is about.
    package var size: Int { self.bytes.readableBytes }

    /// The end of ``bytes``; shares their memory.
    package var payload: ByteBuffer {
        self.bytes.getSlice(at: self.bytes.writerIndex - self.payloadBytes, length: self.payloadBytes) ?? ByteBuffer()
    }

    /// A copy of all before the payload, for one receiver.
    package func head(packetID: UInt16, isDuplicate: Bool = false) -> ByteBuffer {
        let bytes = self.bytes.readableBytesView.dropLast(self.payloadBytes)
        var head = ByteBuffer()
        head.reserveCapacity(bytes.count)
        head.writeBytes(bytes)
        self.patch(&head, at: 0, packetID, isDuplicate)
        return head
    }

    /// Copies the packet for one receiver, behind what is in the buffer. At QoS 0 the identifier and the flag do not count.
    package func write(packetID: UInt16, isDuplicate: Bool = false, into buffer: inout ByteBuffer) {
        let start = buffer.writerIndex
        buffer.writeImmutableBuffer(self.bytes)
        self.patch(&buffer, at: start, packetID, isDuplicate)
    }

    private func patch(_ buffer: inout ByteBuffer, at start: Int, _ packetID: UInt16, _ isDuplicate: Bool) {
        guard let index = self.packetIDIndex else { return }
        buffer.setInteger(packetID, at: start + index)
        guard isDuplicate, let first = buffer.getInteger(at: start, as: UInt8.self) else { return }
        buffer.setInteger(first | 0b1000, at: start)
    }

    /// - Parameter bytes: what ``MQTTPacket/Publish/encodedBytes(_:)`` says.
    static func write(_ publish: MQTTPacket.Publish, _ version: MQTTVersion, bytes: Int, into buffer: inout ByteBuffer) {
        buffer.reserveCapacity(minimumWritableBytes: bytes)
        var writer = MQTTWriter(buffer)
        // Growing in place needs the only reference.
        buffer = ByteBuffer()
        let flags: UInt8 = (publish.isDuplicate ? 0b1000 : 0) | publish.qos.rawValue << 1 | (publish.retain ? 1 : 0)
        writer.byte(MQTTPacketType.publish.rawValue << 4 | flags)
        writer.variable(publish.remainingBytes(version))
        writer.string(publish.topic)
        if publish.qos > .atMostOnce { writer.twoBytes(publish.packetID ?? 0) }
        if version.hasProperties { writer.properties(publish.properties) }
        writer.bytes(publish.payload)
        buffer = writer.buffer
    }
}

extension MQTTPacket.Publish {
    /// Bytes of the whole packet; nil if it cannot be written. Nothing is allocated for it.
    package func encodedBytes(_ version: MQTTVersion) -> Int? {
        guard self.topic.utf8.count <= UInt16.max, !version.hasProperties || self.properties.isWritable else { return nil }
        let remaining = self.remainingBytes(version)
        guard remaining <= MQTTVariableInteger.most else { return nil }
        return 1 + MQTTVariableInteger.size(remaining) + remaining
    }

    func remainingBytes(_ version: MQTTVersion) -> Int {
        let properties = version.hasProperties ? self.properties.blockBytes : 0
        return 2 + self.topic.utf8.count + (self.qos > .atMostOnce ? 2 : 0) + properties + self.payload.readableBytes
    }
}

extension MQTTProperties {
    /// Bytes with the property length before them.
    var blockBytes: Int {
        if self.isEmpty { return 1 }
        let bytes = self.encodedBytes()
        return MQTTVariableInteger.size(bytes) + bytes
    }

    /// Whether each value fits its field.
    var isWritable: Bool {
        self.items.allSatisfy { item in
            switch item.value {
            case .number(let number): item.id.form != .variable || number <= MQTTVariableInteger.most
            case .string(let text): text.utf8.count <= UInt16.max
            case .binary(let bytes): bytes.readableBytes <= UInt16.max
            case .pair(let pair): pair.name.utf8.count <= UInt16.max && pair.value.utf8.count <= UInt16.max
            }
        }
    }
}

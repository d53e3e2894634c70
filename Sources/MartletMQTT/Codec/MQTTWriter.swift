import NIOCore

/// Writes the fields of one packet (MQTT 5.0 §1.5).
struct MQTTWriter {
    private(set) var buffer: ByteBuffer
    /// Where the packet begins.
    private let start: Int
    /// False once something does not fit its field: the packet cannot be written.
    private(set) var isValid = true
    /// What is left out of an answer.
    private let omitted: MQTTOmitted

    /// Begins a packet, behind what is in the buffer.
    init(_ buffer: ByteBuffer, omitting omitted: MQTTOmitted = .nothing) {
        self.buffer = buffer
        self.start = buffer.writerIndex
        self.omitted = omitted
    }

    /// Bytes of the packet so far.
    var count: Int { self.buffer.writerIndex - self.start }

    mutating func begin(_ type: MQTTPacketType) {
        self.byte(type.rawValue << 4 | type.flags)
        // The remaining length, if it takes one byte.
        self.byte(0)
    }

    /// Sets the remaining length, and moves the packet if it takes more than a byte.
    mutating func end() {
        let remaining = self.count - 2
        guard remaining <= MQTTVariableInteger.most else { return self.isValid = false }
        let more = MQTTVariableInteger.size(remaining) - 1
        if more > 0 {
            self.buffer.writeRepeatingByte(0, count: more)
            let body = self.start + 2 - self.buffer.readerIndex
            self.buffer.withUnsafeMutableReadableBytes { bytes in
                UnsafeMutableRawBufferPointer(rebasing: bytes[(body + more)...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[body..<(body + remaining)]))
            }
        }
        let end = self.buffer.writerIndex
        self.buffer.moveWriterIndex(to: self.start + 1)
        self.variable(remaining)
        self.buffer.moveWriterIndex(to: end)
    }

    /// Takes the packet back.
    mutating func cancel() { self.buffer.moveWriterIndex(to: self.start) }

    mutating func byte(_ value: UInt8) { self.buffer.writeInteger(value) }
    mutating func twoBytes(_ value: UInt16) { self.buffer.writeInteger(value) }

    mutating func variable(_ value: Int) {
        guard value <= MQTTVariableInteger.most else { return self.isValid = false }
        var rest = value
        while rest >= 128 {
            self.byte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.byte(UInt8(truncatingIfNeeded: rest))
    }

    mutating func string(_ text: String) {
        guard let count = UInt16(exactly: text.utf8.count) else { return self.isValid = false }
        self.twoBytes(count)
        self.buffer.writeString(text)
    }

    mutating func binary(_ bytes: ByteBuffer) {
        guard let count = UInt16(exactly: bytes.readableBytes) else { return self.isValid = false }
        self.twoBytes(count)
        self.bytes(bytes)
    }

    mutating func bytes(_ bytes: ByteBuffer) { self.buffer.writeImmutableBuffer(bytes) }
}

/// What an answer does without, where its receiver has no room for it or did not ask for it.
struct MQTTOmitted: OptionSet, Sendable {
    let rawValue: UInt8

    static let userProperties = Self(rawValue: 1 << 0)
    static let reasonString = Self(rawValue: 1 << 1)
    static let nothing: Self = []
    static let everything: Self = [.userProperties, .reasonString]

    func omits(_ id: MQTTPropertyID) -> Bool {
        id == .userProperty && self.contains(.userProperties) || id == .reasonString && self.contains(.reasonString)
    }
}

extension MQTTWriter {
    /// Writes a property length and the properties, all of them.
    mutating func properties(_ properties: MQTTProperties) { self.properties(properties, omitting: .nothing) }

    /// Writes those that an answer keeps.
    mutating func answerProperties(_ properties: MQTTProperties) { self.properties(properties, omitting: self.omitted) }

    /// Whether an answer keeps any.
    func hasAnswerProperties(_ properties: MQTTProperties) -> Bool {
        properties.items.contains { !self.omitted.omits($0.id) }
    }

    private mutating func properties(_ properties: MQTTProperties, omitting omitted: MQTTOmitted) {
        if properties.isEmpty { return self.byte(0) }
        self.variable(properties.encodedBytes(omitting: omitted))
        for item in properties.items where !omitted.omits(item.id) { self.property(item) }
    }

    private mutating func property(_ item: MQTTProperties.Item) {
        self.byte(item.id.rawValue)
        switch item.value {
        case .number(let number):
            switch item.id.form {
            case .byte: self.byte(UInt8(truncatingIfNeeded: number))
            case .twoBytes: self.twoBytes(UInt16(truncatingIfNeeded: number))
            case .variable: self.variable(Int(number))
            default: self.buffer.writeInteger(number)
            }
        case .string(let text): self.string(text)
        case .binary(let bytes): self.binary(bytes)
        case .pair(let pair):
            self.string(pair.name)
            self.string(pair.value)
        }
    }
}

extension MQTTProperties {
    /// Bytes without the property length before them.
    func encodedBytes(omitting omitted: MQTTOmitted = .nothing) -> Int {
        var count = 0
        for item in self.items where !omitted.omits(item.id) { count += 1 + Self.size(item) }
        return count
    }

    private static func size(_ item: Item) -> Int {
        switch item.value {
        case .number(let number):
            switch item.id.form {
            case .byte: 1
            case .twoBytes: 2
            case .variable: MQTTVariableInteger.size(Int(number))
            default: 4
            }
        case .string(let text): 2 + text.utf8.count
        case .binary(let bytes): 2 + bytes.readableBytes
        case .pair(let pair): 4 + pair.name.utf8.count + pair.value.utf8.count
        }
    }
}

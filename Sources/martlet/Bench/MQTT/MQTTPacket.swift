import NIOCore

/// Packets of MQTT 3.1.1, as far as a load needs them.
enum MQTTPacket {
    /// First bytes of packets that come, without their flags.
    static let connack: UInt8 = 0x20
    static let publish: UInt8 = 0x30
    static let puback: UInt8 = 0x40
    static let suback: UInt8 = 0x90
    static let pingresp: UInt8 = 0xd0

    static let ping: [UInt8] = [0xc0, 0]
    static let disconnect: [UInt8] = [0xe0, 0]

    /// - Parameter keepAlive: seconds.
    static func connect(client: String, isClean: Bool, keepAlive: Int, login: MQTTLogin) -> [UInt8] {
        var body: [UInt8] = []
        self.append("MQTT", to: &body)
        let flags: UInt8 = (isClean ? 2 : 0) | (login.user == nil ? 0 : 0x80) | (login.password == nil ? 0 : 0x40)
        body += [4, flags, UInt8(truncatingIfNeeded: keepAlive >> 8), UInt8(truncatingIfNeeded: keepAlive)]
        self.append(client, to: &body)
        if let user = login.user { self.append(user, to: &body) }
        if let password = login.password { self.append(password, to: &body) }
        return self.packet(0x10, body)
    }

    static func subscribe(_ filters: [String], qos: UInt8) -> [UInt8] {
        var body: [UInt8] = [0, 1]
        for filter in filters {
            self.append(filter, to: &body)
            body.append(qos)
        }
        return self.packet(0x82, body)
    }

    /// A message with the packet identifier 0, where it has one.
    ///
    /// - Parameter topic: from ``text(_:)``.
    static func message(_ topic: [UInt8], _ payload: [UInt8], qos: UInt8) -> [UInt8] {
        var packet = [0x30 | qos << 1]
        self.appendLength(topic.count + (qos > 0 ? 2 : 0) + payload.count, to: &packet)
        packet.reserveCapacity(packet.count + topic.count + 2 + payload.count)
        packet += topic
        if qos > 0 { packet += [0, 0] }
        packet += payload
        return packet
    }

    /// Gives a message of ``message(_:_:qos:)`` with QoS 1 its identifier.
    static func setID(_ id: UInt16, in packet: inout [UInt8]) {
        var at = 1
        while packet[at] & 0x80 != 0 { at += 1 }
        at += 3 + (Int(packet[at + 1]) << 8 | Int(packet[at + 2]))
        packet[at] = UInt8(id >> 8)
        packet[at + 1] = UInt8(truncatingIfNeeded: id)
    }

    static func appendAck(_ id: UInt16, to output: inout [UInt8]) {
        output.append(0x40)
        output.append(2)
        output.append(UInt8(id >> 8))
        output.append(UInt8(truncatingIfNeeded: id))
    }

    /// A name with its length.
    static func text(_ name: String) -> [UInt8] {
        var output: [UInt8] = []
        self.append(name, to: &output)
        return output
    }

    /// Why a CONNACK's code refuses.
    static func refusal(_ code: UInt8) -> String {
        let reasons = [
            1: "it does not speak MQTT 3.1.1", 2: "it refuses the client's name", 3: "it is unavailable", 4: "bad user name or password",
            5: "not authorized",
        ]
        return "the broker refused the connection with \(code)\(reasons[Int(code)].map { ": \($0)" } ?? "")"
    }

    private static func packet(_ first: UInt8, _ body: [UInt8]) -> [UInt8] {
        var packet = [first]
        self.appendLength(body.count, to: &packet)
        return packet + body
    }

    private static func append(_ name: String, to output: inout [UInt8]) {
        let bytes = name.utf8
        output += [UInt8(truncatingIfNeeded: bytes.count >> 8), UInt8(truncatingIfNeeded: bytes.count)]
        output += bytes
    }

    private static func appendLength(_ length: Int, to output: inout [UInt8]) {
        var rest = length
        repeat {
            output.append(UInt8(rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
            rest >>= 7
        } while rest > 0
    }
}

/// Cuts what comes into packets.
struct MQTTReader {
    /// The largest packet that is read, in bytes: the longest payload, and room for its topic.
    private static let maxPacket = 2_000_000

    /// Bytes of a packet that is not whole yet.
    private var rest: [UInt8] = []

    /// - Parameter each: is given the first byte and what follows the length.
    /// - Returns: false if that is no MQTT.
    mutating func read(_ buffer: ByteBuffer, _ each: (UInt8, UnsafeRawBufferPointer) -> Void) -> Bool {
        if self.rest.isEmpty { return buffer.withUnsafeReadableBytes { self.cut($0, each) } }
        self.rest.append(contentsOf: buffer.readableBytesView)
        // Taken out, so that it is not shared while it is read.
        let all = self.rest
        self.rest = []
        return all.withUnsafeBytes { self.cut($0, each) }
    }

    private mutating func cut(_ bytes: UnsafeRawBufferPointer, _ each: (UInt8, UnsafeRawBufferPointer) -> Void) -> Bool {
        var at = 0
        while bytes.count - at >= 2 {
            var length = 0
            var size = 1
            while true {
                guard at + size < bytes.count else { return self.keep(bytes, at) }
                let byte = bytes[at + size]
                length |= Int(byte & 0x7f) << (7 * (size - 1))
                size += 1
                if byte & 0x80 == 0 { break }
                guard size <= 4 else { return false }
            }
            guard length <= Self.maxPacket else { return false }
            let end = at + size + length
            guard end <= bytes.count else { return self.keep(bytes, at) }
            each(bytes[at], UnsafeRawBufferPointer(rebasing: bytes[(at + size)..<end]))
            at = end
        }
        return self.keep(bytes, at)
    }

    private mutating func keep(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Bool {
        if at < bytes.count { self.rest = Array(bytes[at...]) }
        return true
    }
}

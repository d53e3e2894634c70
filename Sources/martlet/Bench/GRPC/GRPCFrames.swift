/// What a load client says and hears on `Push.Connect` (api/martlet/v1/push.proto), each in its gRPC frame: as little as it needs.
enum GRPCFrames {
    /// A `hello` with what the query of a path names: `topics` with commas between, `user`, `device`, `cursor`.
    static func hello(_ path: String) -> [UInt8] {
        var hello: [UInt8] = []
        for pair in path.drop(while: { $0 != "?" }).dropFirst().split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            let value = Array(parts[1].utf8)
            switch parts[0] {
            case "user": self.append(2, value, to: &hello)
            case "device": self.append(3, value, to: &hello)
            case "cursor": self.append(4, value, to: &hello)
            case "topics":
                for topic in value.split(separator: UInt8(ascii: ",")) {
                    var wish: [UInt8] = []
                    self.append(1, Array(topic), to: &wish)
                    self.append(10, wish, to: &hello)
                }
            default: break
            }
        }
        return self.framed(1, hello)
    }

    /// An `ack` of everything up to a sequence number.
    static func ack(upTo seq: UInt64) -> [UInt8] {
        var ack: [UInt8] = [1 << 3]
        self.append(seq, to: &ack)
        return self.framed(2, ack)
    }

    /// The answer to a ping.
    ///
    /// - Parameter ping: its message: the answer's is the same.
    static func pong(_ ping: UnsafeRawBufferPointer) -> [UInt8] { self.framed(8, Array(ping)) }

    /// What the server said.
    enum Kind: UInt8 {
        case welcome = 1
        case message, gap, result, pong, drain, error, ping
    }

    /// Calls `each` for every frame of a response, with the bytes of its message.
    ///
    /// - Returns: false if they are no protobuf.
    static func read(_ bytes: UnsafeRawBufferPointer, _ each: (Kind?, UnsafeRawBufferPointer) -> Void) -> Bool {
        var at = 0
        while at < bytes.count {
            guard let tag = self.varint(bytes, &at), tag & 7 == 2, let length = self.varint(bytes, &at), length <= UInt64(bytes.count - at) else {
                return false
            }
            let end = at + Int(length)
            each(Kind(rawValue: UInt8(truncatingIfNeeded: tag >> 3)), UnsafeRawBufferPointer(rebasing: bytes[at..<end]))
            at = end
        }
        return true
    }

    /// The sequence number of a message; 0 for one of a topic.
    static func seq(of message: UnsafeRawBufferPointer) -> UInt64 {
        var at = 0
        while at < message.count {
            guard let tag = self.varint(message, &at) else { return 0 }
            switch tag & 7 {
            case 0:
                guard let value = self.varint(message, &at) else { return 0 }
                if tag >> 3 == 1 { return value }
            case 2:
                guard let length = self.varint(message, &at), length <= UInt64(message.count - at) else { return 0 }
                at += Int(length)
            default: return 0
            }
        }
        return 0
    }

    private static func framed(_ field: UInt8, _ message: [UInt8]) -> [UInt8] {
        var body: [UInt8] = []
        self.append(field, message, to: &body)
        let count = UInt32(truncatingIfNeeded: body.count)
        return [0, UInt8(count >> 24), UInt8(count >> 16 & 0xff), UInt8(count >> 8 & 0xff), UInt8(count & 0xff)] + body
    }

    private static func append(_ field: UInt8, _ bytes: [UInt8], to output: inout [UInt8]) {
        output.append(field << 3 | 2)
        self.append(UInt64(bytes.count), to: &output)
        output += bytes
    }

    private static func append(_ value: UInt64, to output: inout [UInt8]) {
        var value = value
        while value >= 0x80 {
            output.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        output.append(UInt8(value))
    }

    private static func varint(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard at < bytes.count else { return nil }
            let byte = bytes[at]
            at += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }
}

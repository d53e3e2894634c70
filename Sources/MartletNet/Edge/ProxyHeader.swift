package import NIOCore

/// The header of the PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt), with which a proxy begins a
/// connection to say whose it is. Untrusted: any bytes, in any pieces.
package enum ProxyHeader {
    package enum Outcome: Equatable, Sendable {
        /// More bytes are needed.
        case more
        /// It is none.
        case invalid
        /// It takes `length` bytes. The address is nil where the proxy speaks for itself (a health check) or does not know.
        case header(length: Int, address: ClientAddress?)
    }

    /// Longest line of version 1, with its line break (§2.1).
    private static let lineBytes = 107
    /// Bytes after the fixed part of version 2: addresses, and what proxies add to them.
    package static let extraBytes = 2_048
    private static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
    private static let word = Array("PROXY ".utf8)

    /// - Parameter bytes: everything that came so far.
    package static func parse(_ bytes: ByteBufferView) -> Outcome {
        guard let first = bytes.first else { return .more }
        return first == self.signature[0] ? self.parseBinary(Array(bytes.prefix(16 + self.extraBytes))) : self.parseLine(bytes)
    }

    // MARK: Version 1

    private static func parseLine(_ bytes: ByteBufferView) -> Outcome {
        let line = bytes.prefix(self.lineBytes)
        guard zip(line, self.word).allSatisfy({ $0 == $1 }) else { return .invalid }
        guard let end = line.firstIndex(of: 0x0a) else { return line.count < self.lineBytes ? .more : .invalid }
        let length = line.distance(from: line.startIndex, to: end) + 1
        guard length > self.word.count + 1, line[line.index(before: end)] == 0x0d else { return .invalid }
        let parts = line.prefix(length - 2).split(separator: 0x20, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        if parts[1] == "UNKNOWN" { return .header(length: length, address: nil) }
        guard parts.count == 6, parts[1] == "TCP4" || parts[1] == "TCP6", let source = ClientAddress(parsing: parts[2]),
            ClientAddress(parsing: parts[3]) != nil, self.isPort(parts[4]), self.isPort(parts[5]),
            parts[2].utf8.contains(UInt8(ascii: ":")) == (parts[1] == "TCP6")
        else { return .invalid }
        return .header(length: length, address: source)
    }

    private static func isPort(_ text: String) -> Bool {
        (1...5).contains(text.utf8.count) && text.utf8.allSatisfy { (0x30...0x39).contains($0) } && UInt16(text) != nil
    }

    // MARK: Version 2

    private static func parseBinary(_ bytes: [UInt8]) -> Outcome {
        guard zip(bytes, self.signature).allSatisfy({ $0 == $1 }) else { return .invalid }
        guard bytes.count >= 16 else { return .more }
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        guard bytes[12] == 0x20 || bytes[12] == 0x21, length <= self.extraBytes else { return .invalid }
        guard bytes.count >= 16 + length else { return .more }
        let address: ClientAddress?
        switch (bytes[12], bytes[13]) {
        // The proxy's own: what follows does not count.
        case (0x20, _), (_, 0x00): address = nil
        case (_, 0x11):
            guard length >= 12 else { return .invalid }
            address = ClientAddress(v4: bytes[16..<20].reduce(0) { $0 << 8 | UInt32($1) })
        case (_, 0x21):
            guard length >= 36 else { return .invalid }
            address = ClientAddress(v6: bytes[16..<32])
        // A datagram or a UNIX socket has no business here.
        default: return .invalid
        }
        return .header(length: 16 + length, address: address)
    }
}

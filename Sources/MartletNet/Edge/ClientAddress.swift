package import NIOCore

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// An IP address as 128 bits; one of version 4 stands as `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2), so that both forms are equal.
package struct ClientAddress: Hashable, Sendable, CustomStringConvertible {
    package var high: UInt64
    package var low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package init(v4: UInt32) { self.init(high: 0, low: 0xffff_0000_0000 | UInt64(v4)) }

    /// Sixteen bytes in network order.
    package init?(v6 bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        self.init(
            high: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }, low: bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// The address of a peer; nil for what is no IP address.
    package init?(_ address: SocketAddress?) {
        guard let address else { return nil }
        // Read as bytes: where the address stands in its structure is the same on every system.
        let bytes = address.withSockAddr { pointer, size in Array(UnsafeRawBufferPointer(start: pointer, count: size)) }
        switch address {
        case .v4 where bytes.count >= 8: self.init(v4: bytes[4..<8].reduce(0) { $0 << 8 | UInt32($1) })
        case .v6 where bytes.count >= 24: self.init(v6: bytes[8..<24])
        default: return nil
        }
    }

    /// Longest text of an address (RFC 4291 §2.2, with an address of version 4 at its end).
    private static let textLimit = 45

    /// Parses `192.0.2.1` or `2001:db8::1`. Untrusted: anything else, ports, zones and brackets included, is nil.
    package init?(parsing text: some StringProtocol) {
        guard (2...Self.textLimit).contains(text.utf8.count), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
        let text = String(text)
        if text.utf8.contains(UInt8(ascii: ":")) {
            var bytes = [UInt8](repeating: 0, count: 16)
            guard inet_pton(AF_INET6, text, &bytes) == 1 else { return nil }
            self.init(v6: bytes)
        } else {
            var bytes = [UInt8](repeating: 0, count: 4)
            guard inet_pton(AF_INET, text, &bytes) == 1 else { return nil }
            self.init(v4: bytes.reduce(0) { $0 << 8 | UInt32($1) })
        }
    }

    package var isV4: Bool { self.high == 0 && self.low >> 32 == 0xffff }

    /// Whether it can only mean this machine: `127.0.0.0/8` (RFC 1122 §3.2.1.3) or `::1` (RFC 4291 §2.5.3).
    package var isLoopback: Bool { self.isV4 ? self.low >> 24 & 0xff == 127 : self.high == 0 && self.low == 1 }

    /// What counts as one address in limits: of version 6 the network of 64 bits that one customer has.
    package var counted: ClientAddress { self.isV4 ? self : ClientAddress(high: self.high, low: 0) }

    package var description: String {
        if self.isV4 {
            return (0..<4).reversed().map { String(self.low >> UInt64($0 * 8) & 0xff) }.joined(separator: ".")
        }
        var bytes = [UInt8]()
        for half in [self.high, self.low] {
            for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: half >> UInt64(shift))) }
        }
        var text = [CChar](repeating: 0, count: Self.textLimit + 1)
        guard inet_ntop(AF_INET6, bytes, &text, socklen_t(text.count)) != nil else { return "?" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

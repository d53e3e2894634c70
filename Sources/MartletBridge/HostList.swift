#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The hosts that may be polled.
package struct HostList: Sendable {
    private let entries: Set<String>

    /// - Parameter entries: each a host as in a URL, with or without a port; without one it may be polled on 80 and 443.
    package init(_ entries: [String]) { self.entries = Set(entries.map { $0.lowercased() }) }

    /// Whether a URL may be polled.
    package func allows(_ url: BridgeURL) -> Bool {
        let host = url.hostText
        return self.entries.contains("\(host):\(url.port)") || [80, 443].contains(url.port) && self.entries.contains(host)
    }

    /// Whether a connection to this address may be used: link-local ones and those of clouds' metadata must be listed as they are,
    /// whatever names stand for them.
    ///
    /// - Parameter address: as text, without brackets.
    package func allows(address: String) -> Bool {
        guard Self.isReserved(address) else { return true }
        let bare = address.contains(":") ? "[\(address)]" : address
        return self.entries.contains { $0 == bare || $0.hasPrefix(bare + ":") }
    }

    /// Why something cannot stand in the list, as the end of a sentence; nil if it can.
    package static func problem(_ entry: String) -> String? {
        // The scheme says nothing here; it only makes it a URL.
        guard let url = BridgeURL("http://\(entry)/"), !url.isTemplate,
            url.hostText == entry.lowercased() || entry.lowercased() == "\(url.hostText):\(url.port)"
        else { return "must be hosts such as api.example.com, 10.0.0.7:8000 or [::1]:8000; \"\(entry)\" is none" }
        return nil
    }

    /// Addresses that answer with what is the machine's own business (RFC 3927, RFC 4291 §2.5.6, and what clouds serve their metadata on).
    static func isReserved(_ address: String) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 16)
        let text = String(address.prefix { $0 != "%" })
        if inet_pton(AF_INET, text, &bytes) == 1 { return self.isReserved(v4: bytes.prefix(4)) }
        guard inet_pton(AF_INET6, text, &bytes) == 1 else { return false }
        if bytes[0] == 0xfe, bytes[1] & 0xc0 == 0x80 { return true }
        // IPv4 in IPv6: ::ffff:0:0/96 (RFC 4291 §2.5.5.2) and 64:ff9b::/96 (RFC 6052).
        if bytes.prefix(10).allSatisfy({ $0 == 0 }) && bytes[10] == 0xff && bytes[11] == 0xff
            || bytes.prefix(12).elementsEqual([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0])
        {
            return self.isReserved(v4: bytes.suffix(4))
        }
        return bytes.elementsEqual([0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54])
    }

    private static func isReserved(v4 bytes: some Collection<UInt8>) -> Bool {
        let bytes = Array(bytes)
        return bytes[0] == 169 && bytes[1] == 254 || bytes == [100, 100, 100, 200] || bytes == [168, 63, 129, 16] || bytes == [192, 0, 0, 192]
    }
}

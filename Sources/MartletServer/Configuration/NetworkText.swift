#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The forms of addresses that options take.
enum NetworkText {
    /// `10.0.0.0/8`, `fd00::/8`, or an address alone.
    static func isNetwork(_ text: String) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let address = parts.first, parts.count <= 2 else { return false }
        var bytes = [UInt8](repeating: 0, count: 16)
        let bits: Int
        if inet_pton(AF_INET, String(address), &bytes) == 1 {
            bits = 32
        } else if inet_pton(AF_INET6, String(address), &bytes) == 1 {
            bits = 128
        } else {
            return false
        }
        guard parts.count == 2 else { return true }
        guard let length = UInt8(parts[1]) else { return false }
        return Int(length) <= bits
    }

    /// `https://example.com`, `http://localhost:3000` or `*` (RFC 6454 §6.2), and nothing that no browser ever says: a pattern, a
    /// host that is not ASCII, a port that is none.
    static func isOrigin(_ text: String) -> Bool {
        if text == "*" { return true }
        guard let rest = self.afterScheme(text) else { return false }
        var host = rest
        var port: Substring?
        if let end = rest.lastIndex(of: "]"), rest.first == "[" {
            host = rest[...end]
            guard self.isNetwork(String(host.dropFirst().dropLast())), host.contains(":"), !host.contains("/") else { return false }
            let after = rest[rest.index(after: end)...]
            guard after.isEmpty || after.first == ":" else { return false }
            port = after.isEmpty ? nil : after.dropFirst()
        } else {
            if let colon = rest.firstIndex(of: ":") {
                host = rest[..<colon]
                port = rest[rest.index(after: colon)...]
            }
            guard !host.isEmpty, host.utf8.allSatisfy({ self.isHostByte($0) }) else { return false }
        }
        guard let port else { return true }
        return port.utf8.allSatisfy { (0x30...0x39).contains($0) } && UInt16(port).map { $0 > 0 } == true
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    static func isURL(_ text: String) -> Bool {
        guard let rest = self.afterScheme(text) else { return false }
        return !rest.prefix { $0 != "/" }.isEmpty && !rest.contains(" ")
    }

    private static func afterScheme(_ text: String) -> Substring? {
        for scheme in ["https://", "http://"] where text.hasPrefix(scheme) { return text.dropFirst(scheme.count) }
        return nil
    }
}

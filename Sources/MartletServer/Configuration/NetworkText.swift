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

    /// `https://example.com`, `http://localhost:3000` or `*` (RFC 6454 §6.2).
    static func isOrigin(_ text: String) -> Bool {
        if text == "*" { return true }
        guard let host = self.afterScheme(text) else { return false }
        return !host.isEmpty && !host.contains { "/?#@ ".contains($0) }
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

/// An `http` or `https` URL that is polled; with `{user}` in it, one for each user.
///
/// **Shape.** Scheme, host, port, and the path with the query, in printable ASCII (RFC 3986). No user information, which belongs into a
/// header, and no fragment.
package struct BridgeURL: Equatable, Sendable {
    package let isTLS: Bool
    /// In lower case, without the brackets of an IPv6 address.
    package let host: String
    package let port: Int
    /// Path and query; begins with `/`.
    package let target: String

    /// What stands for the user.
    package static let user = "{user}"

    private static let longest = 2_048

    /// Reads a URL. Untrusted: any text, any length.
    ///
    /// - Returns: nil if it is not of the shape above.
    package init?(_ text: String) {
        guard text.utf8.count <= Self.longest, text.utf8.allSatisfy({ Self.isURLByte($0) }) else { return nil }
        let lower = text.prefix(8).lowercased()
        let rest: Substring
        if lower.hasPrefix("https://") {
            (self.isTLS, rest) = (true, text.dropFirst(8))
        } else if lower.hasPrefix("http://") {
            (self.isTLS, rest) = (false, text.dropFirst(7))
        } else {
            return nil
        }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        let target = rest.dropFirst(authority.count)
        guard let (host, port) = Self.hostAndPort(authority) else { return nil }
        self.host = host
        self.port = port ?? (self.isTLS ? 443 : 80)
        self.target = target.first == "/" ? String(target) : "/" + target
    }

    private init(isTLS: Bool, host: String, port: Int, target: String) {
        self.isTLS = isTLS
        self.host = host
        self.port = port
        self.target = target
    }

    private static func hostAndPort(_ authority: Substring) -> (host: String, port: Int?)? {
        var host = authority
        var port: Substring?
        if authority.first == "[" {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<end]
            let after = authority[authority.index(after: end)...]
            guard after.isEmpty || after.first == ":", host.contains(":"), host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else {
                return nil
            }
            port = after.isEmpty ? nil : after.dropFirst()
        } else {
            if let colon = authority.firstIndex(of: ":") {
                host = authority[..<colon]
                port = authority[authority.index(after: colon)...]
            }
            guard !host.isEmpty, host.allSatisfy({ $0.isLetter || $0.isNumber || "-._".contains($0) }) else { return nil }
        }
        guard let port else { return (host.lowercased(), nil) }
        guard port.allSatisfy(\.isNumber), let number = UInt16(port), number > 0 else { return nil }
        return (host.lowercased(), Int(number))
    }

    private static func isURLByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "#"), UInt8(ascii: "\""), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "\\"), UInt8(ascii: "^"), UInt8(ascii: "`"),
            UInt8(ascii: "|"):
            false
        default: byte > 0x20 && byte < 0x7f
        }
    }

    /// The host as it is written in a URL.
    package var hostText: String { self.host.contains(":") ? "[\(self.host)]" : self.host }

    package var text: String {
        let standard = self.isTLS ? 443 : 80
        return "\(self.isTLS ? "https" : "http")://\(self.hostText)\(self.port == standard ? "" : ":\(self.port)")\(self.target)"
    }

    package var isTemplate: Bool { self.target.contains(Self.user) }

    package func isSameOrigin(as other: BridgeURL) -> Bool {
        self.isTLS == other.isTLS && self.host == other.host && self.port == other.port
    }

    /// The URL of one user.
    ///
    /// - Returns: nil for a name that a path would take for a step up.
    package func of(user: String) -> BridgeURL? {
        guard self.isTemplate else { return self }
        guard user != ".", user != ".." else { return nil }
        let name = Self.encoded(user) { Self.isUnreserved($0) }
        return BridgeURL(isTLS: self.isTLS, host: self.host, port: self.port, target: self.target.replacing(Self.user, with: name))
    }

    /// A user's name as a header's value: no two names have the same one.
    package static func headerValue(user: String) -> String {
        self.encoded(user) { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "%") }
    }

    private static func encoded(_ text: String, keeps: (UInt8) -> Bool) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            if keeps(byte) {
                bytes.append(byte)
            } else {
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// RFC 3986 §2.3.
    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
            true
        default: false
        }
    }

    /// Where a `Location` points from here (RFC 3986 §5.2, without `.` and `..`, which the server resolves). Untrusted.
    ///
    /// - Returns: nil if that is no URL to poll.
    package func redirected(to location: String) -> BridgeURL? {
        let scheme = self.isTLS ? "https" : "http"
        let location = String(location.prefix { $0 != "#" })
        if location.hasPrefix("//") { return BridgeURL("\(scheme):\(location)") }
        let isAbsolute = location.prefix { $0 != "/" && $0 != "?" }.contains(":")
        if isAbsolute { return BridgeURL(location) }
        let origin = "\(scheme)://\(self.hostText):\(self.port)"
        if location.hasPrefix("/") { return BridgeURL(origin + location) }
        let path = self.target.prefix { $0 != "?" }
        if location.hasPrefix("?") { return BridgeURL(origin + path + location) }
        guard !location.isEmpty, let slash = path.lastIndex(of: "/") else { return nil }
        return BridgeURL(origin + path[...slash] + location)
    }
}

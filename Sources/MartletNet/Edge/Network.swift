/// A network in CIDR notation (RFC 4632, RFC 4291 §2.3).
package struct Network: Hashable, Sendable {
    private let high: UInt64
    private let low: UInt64
    private let highMask: UInt64
    private let lowMask: UInt64

    /// Parses `10.0.0.0/8`, `2001:db8::/32` or one address. Bits after the prefix do not matter.
    package init?(parsing text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = ClientAddress(parsing: parts[0]) else { return nil }
        // An address of version 4 is the last 32 of the 128 bits, unless it was written in the form of version 6.
        let isShort = !parts[0].utf8.contains(UInt8(ascii: ":"))
        var bits = 128
        if parts.count == 2 {
            guard (1...3).contains(parts[1].utf8.count), parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let prefix = Int(parts[1]), prefix <= (isShort ? 32 : 128)
            else { return nil }
            bits = isShort ? 96 + prefix : prefix
        }
        self.highMask = Self.mask(min(bits, 64))
        self.lowMask = Self.mask(max(bits - 64, 0))
        self.high = address.high & self.highMask
        self.low = address.low & self.lowMask
    }

    private static func mask(_ bits: Int) -> UInt64 { bits == 0 ? 0 : ~0 << UInt64(64 - bits) }

    package func contains(_ address: ClientAddress) -> Bool {
        address.high & self.highMask == self.high && address.low & self.lowMask == self.low
    }
}

/// The proxies whose word on a client's address is taken.
package struct TrustedProxies: Sendable {
    private let networks: [Network]

    /// Networks that may be listed.
    package static let limit = 256

    package static let none = TrustedProxies(networks: [])

    private init(networks: [Network]) { self.networks = networks }

    /// - Parameter texts: in CIDR notation.
    /// - Throws: a sentence about the first that is none.
    package init(_ texts: [String]) throws(EdgeError) {
        guard texts.count <= Self.limit else {
            throw EdgeError("\(texts.count) trusted proxies are listed: list at most \(Self.limit) networks.")
        }
        var networks: [Network] = []
        for text in texts {
            guard let network = Network(parsing: text) else {
                throw EdgeError("'\(text)' is not a network: write trusted proxies as 10.0.0.0/8, 2001:db8::/32 or one address.")
            }
            networks.append(network)
        }
        self.networks = networks
    }

    package var isEmpty: Bool { self.networks.isEmpty }

    package func contains(_ address: ClientAddress) -> Bool { self.networks.contains { $0.contains(address) } }
}

/// Why the edge cannot be set up, in one sentence.
package struct EdgeError: Error, CustomStringConvertible {
    package var description: String
    init(_ description: String) { self.description = description }
}

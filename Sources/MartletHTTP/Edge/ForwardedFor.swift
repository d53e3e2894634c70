package import MartletNet

/// `X-Forwarded-For`: each proxy appends the address that connected to it.
package enum ForwardedFor {
    /// Hops looked at, from the right; a longer list counts as far as that.
    package static let limit = 32

    /// The client as the trusted proxies saw it: going from the right, the first address that is no trusted proxy.
    ///
    /// What is left of it the client may have written itself.
    ///
    /// - Parameters:
    ///   - values: the field's values, in the order of the header. Untrusted.
    ///   - peer: who connected; known to be trusted.
    /// - Returns: the peer if no hop says more; the last hop that could be read if one cannot.
    package static func client(_ values: [String], peer: ClientAddress, trusted: TrustedProxies) -> ClientAddress {
        var client = peer
        var seen = 0
        for value in values.reversed() {
            for hop in value.split(separator: ",", omittingEmptySubsequences: false).reversed() {
                seen += 1
                guard seen <= Self.limit, let address = self.address(hop) else { return client }
                client = address
                guard trusted.contains(address) else { return client }
            }
        }
        return client
    }

    /// One hop: an address; some proxies add a port, and brackets to an address of version 6.
    private static func address(_ hop: Substring) -> ClientAddress? {
        var hop = hop.drop { $0 == " " || $0 == "\t" }
        while let last = hop.last, last == " " || last == "\t" { hop.removeLast() }
        if hop.first == "[", let end = hop.firstIndex(of: "]") {
            return ClientAddress(parsing: hop[hop.index(after: hop.startIndex)..<end])
        }
        let colons = hop.utf8.lazy.filter { $0 == UInt8(ascii: ":") }.prefix(2).count
        if colons == 1, let colon = hop.firstIndex(of: ":") { return ClientAddress(parsing: hop[..<colon]) }
        return ClientAddress(parsing: hop)
    }
}

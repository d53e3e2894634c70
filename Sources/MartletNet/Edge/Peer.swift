/// Who is at the other end of a connection, and its place in the counts. Confined to the connection's loop.
package final class Peer {
    private let edge: NetEdge
    /// Who connected, or whom the PROXY protocol names.
    package private(set) var address: ClientAddress?
    /// The client of the request in hand; behind a trusted proxy, whom that names.
    package private(set) var client: ClientAddress?
    /// Whether the word of the peer on a client's address is taken.
    package let isTrusted: Bool
    /// Whether this is one of the streams of a connection (HTTP/2).
    package let isStream: Bool
    private var counted: ClientAddress?
    private var isIn = true

    /// Takes a place that ``ConnectionGate/enter()`` gave.
    package init(edge: NetEdge, address: ClientAddress?, isStream: Bool = false) {
        self.edge = edge
        self.isStream = isStream
        self.address = address
        self.client = address
        self.isTrusted = address.map { edge.trusted.contains($0) } ?? false
    }

    /// Counts the connection as its client's. A trusted proxy is no client.
    ///
    /// - Returns: false if the client has as many as it may.
    package func count() -> Bool {
        guard !self.isTrusted, let address = self.address else { return true }
        return self.count(as: address)
    }

    /// The PROXY protocol names the client; nil: the proxy speaks for itself.
    ///
    /// - Returns: false if the client has as many connections as it may.
    func proxied(_ address: ClientAddress?) -> Bool {
        guard let address else { return true }
        self.address = address
        self.client = address
        return self.count(as: address)
    }

    /// Whether requests may come from other addresses than the connection: it is a trusted proxy's, and no PROXY header said whose it is.
    package var mayForward: Bool { self.isTrusted && !self.edge.proxyProtocol && self.address != nil }

    /// A request came through a trusted proxy; ask ``mayForward`` first.
    ///
    /// - Parameter find: says whose it is, given the proxy's address and those that are trusted.
    /// - Returns: false if that client has as many connections as it may.
    package func forwarded(_ find: (ClientAddress, TrustedProxies) -> ClientAddress) -> Bool {
        guard self.mayForward, let address = self.address else { return true }
        let client = find(address, self.edge.trusted)
        self.client = client
        return client == address || self.count(as: client)
    }

    /// The request was answered: the next on this connection may be another client's.
    package func answered() {
        guard self.mayForward, let counted = self.counted else { return }
        self.counted = nil
        self.edge.gate.leave(counted)
    }

    private func count(as address: ClientAddress) -> Bool {
        guard self.edge.gate.perAddress > 0 else { return true }
        guard self.counted?.counted != address.counted else { return true }
        if let counted = self.counted { self.edge.gate.leave(counted) }
        self.counted = nil
        guard self.isIn, self.edge.gate.enter(address) else { return false }
        self.counted = address
        return true
    }

    /// The connection is gone.
    package func leave() {
        guard self.isIn else { return }
        self.isIn = false
        if let counted = self.counted { self.edge.gate.leave(counted) }
        self.counted = nil
        self.edge.gate.leave()
    }
}

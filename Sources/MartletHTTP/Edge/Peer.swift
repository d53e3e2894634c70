/// Who is at the other end of a connection, and its place in the counts. Confined to the connection's loop.
final class Peer {
    private let edge: HTTPEdge
    /// Who connected, or whom the PROXY protocol names.
    private(set) var address: ClientAddress?
    /// The client of the request in hand; behind a trusted proxy, whom `X-Forwarded-For` names.
    private(set) var client: ClientAddress?
    /// Whether the word of the peer on a client's address is taken.
    let isTrusted: Bool
    /// Whether this is one of the streams of an HTTP/2 connection.
    let isStream: Bool
    private var counted: ClientAddress?
    private var isIn = true

    /// Takes a place that ``ConnectionGate/enter()`` gave.
    init(edge: HTTPEdge, address: ClientAddress?, isStream: Bool = false) {
        self.edge = edge
        self.isStream = isStream
        self.address = address
        self.client = address
        self.isTrusted = address.map { edge.trusted.contains($0) } ?? false
    }

    /// Counts the connection as its client's. A trusted proxy is no client.
    ///
    /// - Returns: false if the client has as many as it may.
    func count() -> Bool {
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

    /// A request came.
    ///
    /// - Parameter forwarded: the values of `X-Forwarded-For`.
    /// - Returns: false if the client that they name has as many connections as it may.
    func requested(_ forwarded: [String]) -> Bool {
        // With the PROXY protocol the address is known already, and the client may have written the field.
        guard self.isTrusted, !self.edge.proxyProtocol, let address = self.address else { return true }
        let client = ForwardedFor.client(forwarded, peer: address, trusted: self.edge.trusted)
        self.client = client
        return client == address || self.count(as: client)
    }

    /// The request was answered: the next on this connection may be another client's.
    func answered() {
        guard self.isTrusted, !self.edge.proxyProtocol, let counted = self.counted else { return }
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
    func leave() {
        guard self.isIn else { return }
        self.isIn = false
        if let counted = self.counted { self.edge.gate.leave(counted) }
        self.counted = nil
        self.edge.gate.leave()
    }
}

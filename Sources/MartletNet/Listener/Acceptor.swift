import NIOCore

/// What each new connection of a listener passes: the gate, the PROXY protocol, TLS; then it is the adapter's.
struct Acceptor: Sendable {
    let edge: NetEdge
    let tls: ListenerTLS?
    let adapter: any NetAdapter

    func accept(_ channel: any Channel, state: LoopState) throws {
        let operations = channel.pipeline.syncOperations
        let gate = self.edge.gate
        let address = ClientAddress(channel.remoteAddress)
        guard gate.enter() else {
            gate.refused(address, why: "as many are open as may be")
            self.adapter.refused(.full)
            try operations.addHandler(RefusalHandler(state: state, gate: gate) { self.words(.full) })
            return
        }
        let peer = Peer(edge: self.edge, address: address)
        do {
            if self.edge.proxyProtocol {
                guard peer.isTrusted else {
                    peer.leave()
                    gate.refused(address, why: "not a trusted proxy, with the PROXY protocol on")
                    try operations.addHandler(RefusalHandler(state: state, gate: gate) { nil })
                    return
                }
                try operations.addHandler(ProxyHandler(peer: peer, acceptor: self))
            } else if !peer.count() {
                peer.leave()
                gate.refused(address, why: "the address has as many as it may")
                self.adapter.refused(.addressFull)
                try operations.addHandler(RefusalHandler(state: state, gate: gate) { self.words(.addressFull) })
                return
            }
            if self.tls != nil { try operations.addHandler(TLSStart(acceptor: self, state: state)) }
            try self.adapter.install(NewConnection(channel: channel, peer: peer, state: state, isDirect: self.tls == nil))
        } catch {
            peer.leave()
            throw error
        }
    }

    /// What a refused client reads: nothing under TLS, where words cost a handshake.
    func words(_ why: ConnectionRefusal) -> ByteBuffer? { self.tls == nil ? self.adapter.words(why) : nil }
}

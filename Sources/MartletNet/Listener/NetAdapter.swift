package import NIOCore

/// A connection for an adapter: of a listener of its own, or of another protocol that carries its bytes.
package struct NewConnection {
    package let channel: any Channel
    /// Who is at the other end. From now on its place in the counts is the handlers' (``Peer/leave()``).
    package let peer: Peer
    /// What the handlers enter (``LoopState/opened(_:)``), and where those with a limit of time are swept.
    package let state: LoopState
    /// Whether handlers may write to the socket past the pipeline (``DirectSocket``): there is nothing in between.
    package let isDirect: Bool
    /// A token that came with the request that made it this connection; not looked at yet.
    package let credential: String?

    package init(channel: any Channel, peer: Peer, state: LoopState, isDirect: Bool, credential: String? = nil) {
        self.channel = channel
        self.peer = peer
        self.state = state
        self.isDirect = isDirect
        self.credential = credential
    }
}

/// A protocol that takes a connection's bytes: its handlers see and write ByteBuffers.
package protocol ByteStreamService: Sendable {
    /// Adds its handlers at the end of the channel's pipeline. Called on the connection's loop, before anything is read.
    ///
    /// A listener's channel becomes active after that, one that another protocol carries is so already: handlers begin when they are
    /// added, and write nothing before the client has.
    ///
    /// The handlers own the connection: they bound the time for its first words (a PROXY header and TLS included), and closing the
    /// channel from them ends it.
    ///
    /// - Throws: what ends the connection at once; then its place in the counts is given back by the caller.
    func install(_ connection: NewConnection) throws
}

/// What a listener leaves to its adapter: the handlers, and saying no in its own words.
package protocol NetAdapter: ByteStreamService {
    /// A connection was refused. Called on its loop.
    func refused(_ why: ConnectionRefusal)
    /// What the client reads; nil: it is closed without a word. Never asked under TLS, but for ``ConnectionRefusal/plainText``.
    func words(_ why: ConnectionRefusal) -> ByteBuffer?
}

/// Why a listener takes no connection.
package enum ConnectionRefusal: Sendable {
    /// As many are open as may be.
    case full
    /// The address has as many as it may.
    case addressFull
    /// The client speaks in plain where TLS is spoken.
    case plainText
}

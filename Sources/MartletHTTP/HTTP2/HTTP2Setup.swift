import MartletCore
import MartletNet
import MartletWire
import NIOCore
import NIOHTTP1
import NIOHTTP2

/// Lets connections speak HTTP/2 (RFC 9113): each stream is a channel of its own, with a front handler that sees one request.
final class HTTP2Setup: Sendable {
    private let services: HTTPServices
    private let control: ControlPlane
    private let connection: NIOHTTP2Handler.ConnectionConfiguration
    private let stream: NIOHTTP2Handler.StreamConfiguration

    /// Streams that a connection may have open at a time.
    static let streamsMost = 100
    init(services: HTTPServices, control: ControlPlane) {
        self.services = services
        self.control = control
        self.connection = HTTP2Profile.connection(limits: services.limits, streams: Self.streamsMost)
        self.stream = HTTP2Profile.stream
    }

    /// Whether a plain connection begins like one whose client knows that HTTP/2 is spoken here; what is missing may still come.
    static func isPreface(_ bytes: ByteBuffer) -> Bool { HTTP2Profile.beginsWithPreface(bytes) == true }

    /// Adds the handlers that speak HTTP/2. What the client sends from now on must reach them; the peer's place in the counts is theirs.
    func install(on channel: any Channel, after handler: any ChannelHandler, loop: HTTPLoop, peer: Peer) throws {
        let connection = HTTP2Connection(services: self.services, loop: loop, peer: peer)
        let bound = NIOLoopBound(connection, eventLoop: channel.eventLoop)
        let frames = NIOHTTP2Handler(
            mode: .server, eventLoop: channel.eventLoop, connectionConfiguration: self.connection, streamConfiguration: self.stream
        ) { stream in
            stream.eventLoop.makeCompletedFuture { try self.begin(stream, of: bound.value) }
        }
        try channel.pipeline.syncOperations.addHandlers([frames, connection], position: .after(handler))
    }

    private func begin(_ channel: any Channel, of connection: HTTP2Connection) throws {
        let edge = self.services.edge
        let isIn = edge.gate.enter()
        let peer = isIn ? Peer(edge: edge, address: connection.peer.address, isStream: true) : nil
        let refusal = !isIn ? ConnectionPipeline.tooMany : peer?.count() == false ? ConnectionPipeline.tooManyOfAddress : nil
        let stream = HTTP2Stream(connection: connection, limits: self.services.limits, refusal: refusal)
        do {
            try channel.pipeline.syncOperations.addHandler(stream)
            guard refusal == nil, let peer else {
                peer?.leave()
                edge.gate.refused(connection.peer.address, why: "as many connections and streams are open as may be")
                return
            }
            let front = FrontHandler(services: self.services, control: self.control, loop: connection.loop, peer: peer)
            front.leave(for: stream)
            // What the front handler and its streams write are the bytes of HTTP/1.1, one way for all.
            try channel.pipeline.syncOperations.addHandlers([HTTPResponseEncoder(), front])
        } catch {
            peer?.leave()
            throw error
        }
    }
}

import MartletCore
package import MartletNet
import MartletWire
package import NIOCore
import NIOHTTP1

/// Puts HTTP on the connections of a listener.
package final class ConnectionPipeline: NetAdapter {
    static let tooMany = WireError(
        .tooManyConnections, "The server has as many connections as it may: connect again in a moment.")
    static let tooManyOfAddress = WireError(
        .tooManyConnections, "Your address has as many connections as it may: close some, or try again in a moment.")
    private static let plain = WireError(.badRequest, "This port speaks TLS: use https:// or wss://.")

    private let services: HTTPServices
    private let control: ControlPlane
    /// In the order of the listener's.
    private let loops: [HTTPLoop]
    private let decoderLimits: NIOHTTPDecoderLimitConfiguration
    /// Longest head that ``QuickLane`` reads; the limits of longer ones are judged by NIO's parser.
    let quickHeadBytes: Int
    let quickFields: Int
    let isTLS: Bool
    /// nil: HTTP/1.1 only.
    let http2: HTTP2Setup?

    package init(services: HTTPServices, loops: NetLoops) {
        self.services = services
        self.loops = loops.states.map { HTTPLoop($0) }
        self.control = ControlPlane(services: services)
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = services.limits.headerBytes
        limits.maxHeaderListSize = services.limits.headerBytes
        limits.maxHeaderFieldCount = services.limits.headerCount
        self.decoderLimits = limits
        self.quickHeadBytes = min(QuickHead.most, services.limits.headerBytes)
        self.quickFields = services.limits.headerCount
        self.isTLS = services.edge.tls != nil
        self.http2 = services.isHTTP2 ? HTTP2Setup(services: services, control: self.control) : nil
    }

    package func install(_ connection: NewConnection) throws {
        let loop = self.loops[connection.state.index]
        let front = FrontHandler(services: self.services, control: self.control, loop: loop, peer: connection.peer)
        try connection.channel.pipeline.syncOperations.addHandler(QuickLane(front: front, pipeline: self))
    }

    package func refused(_ why: ConnectionRefusal) { self.services.metrics.refused(.tooManyConnections) }

    package func words(_ why: ConnectionRefusal) -> ByteBuffer? {
        var buffer = ByteBufferAllocator().buffer(capacity: 320)
        let error =
            switch why {
            case .full: Self.tooMany
            case .addressFull: Self.tooManyOfAddress
            case .plainText: Self.plain
            }
        RawResponse.write(error, to: &buffer)
        return buffer
    }

    /// Adds NIO's HTTP handlers, with the front handler behind them.
    func addHTTP(_ front: FrontHandler, to channel: any Channel, after lane: QuickLane) throws -> ByteWatch {
        let operations = channel.pipeline.syncOperations
        let watch = ByteWatch()
        front.leave(for: watch)
        // What came with the request that becomes a stream belongs to the stream.
        let decoder = HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: self.decoderLimits)
        try operations.addHandlers(
            [watch, HTTPResponseEncoder(), ByteToMessageHandler(decoder), HTTPServerPipelineHandler(), front], position: .after(lane))
        return watch
    }
}

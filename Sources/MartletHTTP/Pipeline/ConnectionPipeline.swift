import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// Builds the handlers of a new connection: the gate, the PROXY protocol, TLS, HTTP.
final class ConnectionPipeline: Sendable {
    private let services: HTTPServices
    private let control: ControlPlane
    private let decoderLimits: NIOHTTPDecoderLimitConfiguration
    /// Longest head that ``QuickLane`` reads; the limits of longer ones are judged by NIO's parser.
    let quickHeadBytes: Int
    let quickFields: Int
    let isTLS: Bool
    /// nil: HTTP/1.1 only.
    let http2: HTTP2Setup?

    init(services: HTTPServices) {
        self.services = services
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

    func build(on channel: any Channel, state: LoopState) throws {
        let edge = self.services.edge
        let operations = channel.pipeline.syncOperations
        let address = ClientAddress(channel.remoteAddress)
        guard edge.gate.enter() else {
            edge.gate.refused(address, why: "as many are open as may be")
            self.services.metrics.refused(.tooManyConnections)
            try operations.addHandler(self.refusal(state, HTTPListener.tooMany))
            return
        }
        let peer = Peer(edge: edge, address: address)
        do {
            if edge.proxyProtocol {
                guard peer.isTrusted else {
                    peer.leave()
                    edge.gate.refused(address, why: "not a trusted proxy, with the PROXY protocol on")
                    try operations.addHandler(RefusalHandler(state: state, services: self.services, error: nil))
                    return
                }
                try operations.addHandler(ProxyHandler(peer: peer, services: self.services))
            } else if !peer.count() {
                peer.leave()
                edge.gate.refused(address, why: "the address has as many as it may")
                self.services.metrics.refused(.tooManyConnections)
                try operations.addHandler(self.refusal(state, HTTPListener.tooManyOfAddress))
                return
            }
            if let tls = edge.tls {
                try operations.addHandler(TLSStart(certificate: tls, state: state, services: self.services))
            }
            let front = FrontHandler(services: self.services, control: self.control, state: state, peer: peer)
            try operations.addHandler(QuickLane(front: front, pipeline: self))
        } catch {
            peer.leave()
            throw error
        }
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

    private func refusal(_ state: LoopState, _ error: WireError) -> RefusalHandler {
        RefusalHandler(state: state, services: self.services, error: self.services.edge.tls == nil ? error : nil)
    }
}

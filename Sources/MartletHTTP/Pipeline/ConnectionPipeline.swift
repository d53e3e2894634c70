import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// Builds the handlers of a new connection: the gate, the PROXY protocol, TLS, HTTP.
struct ConnectionPipeline: Sendable {
    private let services: HTTPServices
    private let control: ControlPlane
    private let decoderLimits: NIOHTTPDecoderLimitConfiguration

    init(services: HTTPServices) {
        self.services = services
        self.control = ControlPlane(services: services)
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = services.limits.headerBytes
        limits.maxHeaderListSize = services.limits.headerBytes
        limits.maxHeaderFieldCount = services.limits.headerCount
        self.decoderLimits = limits
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
            let bytes = ByteWatch()
            try operations.addHandler(bytes)
            try operations.addHandler(HTTPResponseEncoder())
            // What came with the request that becomes a stream belongs to the stream.
            let decoder = HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: self.decoderLimits)
            try operations.addHandler(ByteToMessageHandler(decoder))
            try operations.addHandler(HTTPServerPipelineHandler())
            try operations.addHandler(
                FrontHandler(services: self.services, control: self.control, state: state, peer: peer, bytes: bytes))
        } catch {
            peer.leave()
            throw error
        }
    }

    private func refusal(_ state: LoopState, _ error: WireError) -> RefusalHandler {
        RefusalHandler(state: state, services: self.services, error: self.services.edge.tls == nil ? error : nil)
    }
}

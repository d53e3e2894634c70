#if os(Linux)
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket

/// The network by SwiftNIO: URLSession has no WebSockets with the libcurl of most distributions.
struct NIOCarrier: Carrier {
    typealias HTTPChannel = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

    static let connectTimeout = TimeAmount.seconds(10)

    func request(_ server: ServerAddress, _ request: CarrierRequest) async throws(SessionEnd) -> CarrierAnswer {
        try await self.exchange(server, request, receive: nil)
    }

    func stream(
        _ server: ServerAddress, _ request: CarrierRequest, receive: @escaping @Sendable ([UInt8]) async throws(SessionEnd) -> Void
    ) async throws(SessionEnd) -> CarrierAnswer {
        try await self.exchange(server, request, receive: receive)
    }

    private func exchange(
        _ server: ServerAddress, _ request: CarrierRequest, receive: (@Sendable ([UInt8]) async throws(SessionEnd) -> Void)?
    ) async throws(SessionEnd) -> CarrierAnswer {
        try await Self.guarded(server) {
            let channel = try await Self.bootstrap(server).connect(host: server.host, port: server.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Self.addTLS(server, channel)
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    return try HTTPChannel(wrappingChannelSynchronously: channel, configuration: Self.watermarks())
                }
            }
            return try await channel.executeThenClose { inbound, outbound in
                try await outbound.write(.head(Self.head(server, request, close: true)))
                if !request.body.isEmpty { try await outbound.write(.body(.byteBuffer(ByteBuffer(bytes: request.body)))) }
                try await outbound.write(.end(nil))
                return try await Self.read(inbound, receive)
            }
        }
    }

    /// Reads one answer.
    static func read(
        _ inbound: NIOAsyncChannelInboundStream<HTTPClientResponsePart>, _ receive: (@Sendable ([UInt8]) async throws(SessionEnd) -> Void)?
    ) async throws -> CarrierAnswer {
        var answer: CarrierAnswer?
        for try await part in inbound {
            switch part {
            case .head(let head):
                guard head.status.code >= 200 else { continue }
                answer = CarrierAnswer(
                    status: Int(head.status.code), contentType: head.headers.first(name: "content-type"),
                    retryAfter: head.headers.first(name: "retry-after"))
                if receive != nil, head.status.code == 200, answer?.contentType?.hasPrefix("text/event-stream") != true {
                    throw SessionEnd.foreign(200, retryAfterMs: nil)
                }
            case .body(let buffer):
                if let receive, answer?.status == 200 {
                    try await receive(Array(buffer.readableBytesView))
                } else {
                    answer?.body += buffer.readableBytesView
                    if let count = answer?.body.count, count > CarrierAnswer.mostBytes { throw SessionEnd.lost("The answer was too long.") }
                }
            case .end: if let answer { return answer }
            }
        }
        guard let answer, receive != nil, answer.status == 200 else { throw SessionEnd.lost("The answer broke off.") }
        return answer
    }

    // MARK: Shared

    static func bootstrap(_ server: ServerAddress) -> ClientBootstrap {
        ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup).connectTimeout(self.connectTimeout)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
    }

    static func watermarks() -> NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>.Configuration {
        .init(backPressureStrategy: .init(lowWatermark: 2, highWatermark: 16))
    }

    private static let tls = Result { try NIOSSLContext(configuration: .makeClientConfiguration()) }

    static func addTLS(_ server: ServerAddress, _ channel: any Channel) throws {
        guard server.isTLS else { return }
        // An address is no name for SNI.
        let isAddress = (try? SocketAddress(ipAddress: server.host, port: 0)) != nil
        let handler = try NIOSSLClientHandler(context: Self.tls.get(), serverHostname: isAddress ? nil : server.host)
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    static func head(_ server: ServerAddress, _ request: CarrierRequest, close: Bool) -> HTTPRequestHead {
        var headers = HTTPHeaders([("Host", server.authority), ("User-Agent", "martlet-swift")])
        headers.add(contentsOf: request.headers)
        if close {
            headers.add(name: "Connection", value: "close")
            if request.method != "GET" { headers.add(name: "Content-Length", value: "\(request.body.count)") }
        }
        return HTTPRequestHead(version: .http1_1, method: HTTPMethod(rawValue: request.method), uri: request.target, headers: headers)
    }

    /// What NIO throws, as the end that it is.
    static func guarded<Result: Sendable>(_ server: ServerAddress, _ body: () async throws -> Result) async throws(SessionEnd) -> Result {
        do {
            return try await body()
        } catch let end as SessionEnd {
            throw end
        } catch is NIOConnectionError {
            throw .unreachable("Nothing answers at \(server.authority).")
        } catch is CancellationError {
            throw .lost("It was given up.")
        } catch let error as ChannelError {
            if case .connectTimeout = error { throw .unreachable("\(server.authority) does not answer.") }
            throw .lost("The connection broke off (\(error)).")
        } catch {
            throw .lost("The connection broke off (\(error)).")
        }
    }
}

typealias PlatformCarrier = NIOCarrier
#endif

#if os(Linux)
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket

extension NIOCarrier {
    typealias FrameChannel = NIOAsyncChannel<WebSocketFrame, WebSocketFrame>

    private enum Upgrade {
        case open(FrameChannel)
        case refused(NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>)
    }

    func webSocket(
        _ server: ServerAddress, _ request: CarrierRequest, send: @escaping @Sendable () async -> [[UInt8]]?,
        receive: @escaping @Sendable ([UInt8]) async throws(SessionEnd) -> Void
    ) async throws(SessionEnd) -> (code: Int, reason: String) {
        try await Self.guarded(server) {
            let upgrade = try await Self.bootstrap(server).connect(host: server.host, port: server.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Self.addTLS(server, channel)
                    return try Self.upgrade(server, request, channel)
                }
            }
            switch try await upgrade.get() {
            case .refused(let channel):
                let answer = try await channel.executeThenClose { inbound, _ in try await Self.read(inbound, nil) }
                throw answer.end
            case .open(let channel): return try await Self.talk(channel, send, receive)
            }
        }
    }

    private static func upgrade(_ server: ServerAddress, _ request: CarrierRequest, _ channel: any Channel) throws -> EventLoopFuture<Upgrade> {
        let upgrader = NIOTypedWebSocketClientUpgrader<Upgrade>(maxFrameSize: CarrierAnswer.mostBytes) { channel, _ in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(
                    NIOWebSocketFrameAggregator(
                        minNonFinalFragmentSize: 0, maxAccumulatedFrameCount: 1_024, maxAccumulatedFrameSize: CarrierAnswer.mostBytes))
                return .open(
                    try FrameChannel(
                        wrappingChannelSynchronously: channel, configuration: .init(backPressureStrategy: .init(lowWatermark: 2, highWatermark: 16))))
            }
        }
        let configuration = NIOTypedHTTPClientUpgradeConfiguration<Upgrade>(
            upgradeRequestHead: self.head(server, request, close: false), upgraders: [upgrader]
        ) { channel in
            channel.eventLoop.makeCompletedFuture {
                .refused(try HTTPChannel(wrappingChannelSynchronously: channel, configuration: self.watermarks()))
            }
        }
        var pipeline = NIOUpgradableHTTPClientPipelineConfiguration(upgradeConfiguration: configuration)
        // The welcome may come in one packet with the answer.
        pipeline.leftOverBytesStrategy = .forwardBytes
        return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(configuration: pipeline)
    }

    private enum Half: Sendable {
        case heard(code: Int, reason: String)
        case said
    }

    private static func talk(
        _ channel: FrameChannel, _ send: @escaping @Sendable () async -> [[UInt8]]?,
        _ receive: @escaping @Sendable ([UInt8]) async throws(SessionEnd) -> Void
    ) async throws -> (code: Int, reason: String) {
        try await channel.executeThenClose { inbound, outbound in
            try await withThrowingTaskGroup(of: Half.self) { group in
                group.addTask {
                    while let texts = await send() {
                        for text in texts { try await outbound.write(Self.frame(.text, text)) }
                    }
                    try await outbound.write(Self.frame(.connectionClose, [0x03, 0xe8]))
                    return .said
                }
                group.addTask { try await Self.listen(inbound, outbound, receive) }
                defer { group.cancelAll() }
                while let half = try await group.next() {
                    if case .heard(let code, let reason) = half { return (code, reason) }
                }
                throw SessionEnd.lost("The connection ended.")
            }
        }
    }

    private static func listen(
        _ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>, _ outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>,
        _ receive: @escaping @Sendable ([UInt8]) async throws(SessionEnd) -> Void
    ) async throws -> Half {
        for try await frame in inbound {
            switch frame.opcode {
            case .text, .binary: try await receive(Array(frame.unmaskedData.readableBytesView))
            case .ping: try await outbound.write(Self.frame(.pong, Array(frame.unmaskedData.readableBytesView)))
            case .connectionClose:
                var data = frame.unmaskedData
                let code = data.readInteger(as: UInt16.self).map { Int($0) } ?? 1_005
                return .heard(code: code, reason: data.readString(length: data.readableBytes) ?? "")
            default: break
            }
        }
        throw SessionEnd.lost("The connection ended.")
    }

    private static func frame(_ opcode: WebSocketOpcode, _ bytes: [UInt8]) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: opcode, maskKey: .random(), data: ByteBuffer(bytes: bytes))
    }
}
#endif

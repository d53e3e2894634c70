import Logging
import MartletCore
import MartletNet
import NIOCore
import NIOPosix
import Testing

/// Listeners of one edge, on real sockets.
@Suite("Listeners")
struct ListenerTests {
    /// Answers with its name, and holds the connection.
    private struct Named: NetAdapter {
        var name: String

        func install(_ connection: NewConnection) throws {
            try connection.channel.pipeline.syncOperations.addHandler(Holder(connection, self.name))
        }

        func refused(_ why: ConnectionRefusal) {}
        func words(_ why: ConnectionRefusal) -> ByteBuffer? { ByteBuffer(string: "\(self.name): \(why)") }
    }

    private final class Holder: ChannelInboundHandler, Connection {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let connection: NewConnection
        private let name: String
        private var context: ChannelHandlerContext?

        init(_ connection: NewConnection, _ name: String) {
            self.connection = connection
            self.name = name
        }

        func handlerAdded(context: ChannelHandlerContext) {
            self.context = context
            self.connection.state.opened(self)
        }

        func handlerRemoved(context: ChannelHandlerContext) {
            self.context = nil
            self.connection.state.closed(self)
            self.connection.peer.leave()
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: self.name)), promise: nil)
        }

        func quiesce() { self.context?.close(promise: nil) }
        func abort() { self.context?.close(promise: nil) }
    }

    private static let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)

    private static func edge(_ limits: Limits) throws -> NetEdge {
        try NetEdge(limits: limits, openFiles: 1_000, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private static func start(
        _ name: String, _ edge: NetEdge, port: Int = 0
    ) async throws -> (listener: NetListener, loops: NetLoops) {
        let loops = NetLoops(Array(self.group.makeIterator()).map { $0 as any EventLoop })
        let listener = try await NetListener.start(
            host: "127.0.0.1", port: port, edge: edge, tls: nil, limits: Limits(), loops: loops, group: self.group, adapter: Named(name: name))
        return (listener, loops)
    }

    private typealias Client = NIOAsyncChannel<ByteBuffer, ByteBuffer>

    /// Connects, says something, and gives what comes back to `body`.
    private static func ask<Result: Sendable>(
        _ listener: NetListener, _ body: @Sendable (_ answer: String) async throws -> Result
    ) async throws -> Result {
        let address = try #require(listener.address)
        let client: Client = try await ClientBootstrap(group: self.group).connect(to: address) { channel in
            channel.eventLoop.makeCompletedFuture { try Client(wrappingChannelSynchronously: channel) }
        }
        return try await client.executeThenClose { inbound, outbound in
            // Who is refused may be cut off while it speaks.
            try? await outbound.write(ByteBuffer(string: "hello"))
            var answer = ""
            for try await piece in inbound {
                answer = String(buffer: piece)
                break
            }
            return try await body(answer)
        }
    }

    @Test("of one edge share the count of connections, and each says no in its own words")
    func oneGate() async throws {
        var limits = Limits()
        limits.connections = 2
        let edge = try Self.edge(limits)
        let (first, firstLoops) = try await Self.start("first", edge)
        let (second, secondLoops) = try await Self.start("second", edge)
        try await Self.ask(first) { answer in
            #expect(answer == "first")
            try await Self.ask(second) { answer in
                #expect(answer == "second" && edge.gate.count == 2)
                try await Self.ask(first) { #expect($0 == "first: full") }
                try await Self.ask(second) { #expect($0 == "second: full") }
            }
        }
        await first.stopAccepting()
        await second.stopAccepting()
        await withCheckedContinuation { done in firstLoops.quiesce { done.resume() } }
        await withCheckedContinuation { done in secondLoops.quiesce { done.resume() } }
        #expect(edge.gate.count == 0)
    }

    @Test("count the connections of an address together")
    func oneAddress() async throws {
        var limits = Limits()
        limits.connectionsPerAddress = 1
        let edge = try Self.edge(limits)
        let (first, _) = try await Self.start("first", edge)
        let (second, _) = try await Self.start("second", edge)
        try await Self.ask(first) { answer in
            #expect(answer == "first")
            try await Self.ask(second) { #expect($0 == "second: addressFull") }
        }
        await first.stopAccepting()
        await second.stopAccepting()
    }

    @Test("take no address that another has")
    func taken() async throws {
        let edge = try Self.edge(Limits())
        let (first, _) = try await Self.start("first", edge)
        let port = try #require(first.address?.port)
        await #expect(throws: IOError.self) { try await Self.start("second", edge, port: port) }
        await first.stopAccepting()
    }
}

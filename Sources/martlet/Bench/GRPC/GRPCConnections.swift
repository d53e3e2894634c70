import NIOCore
import NIOHTTP2
import NIOPosix

/// The HTTP/2 connections of one event loop that load clients have their streams on; used on it only.
final class GRPCConnections {
    private let loop: any EventLoop
    private let address: SocketAddress
    /// Streams on each connection.
    private let streams: Int
    /// The newest connection, and how many streams may still be opened on it.
    private var newest: EventLoopFuture<NIOHTTP2Handler.StreamMultiplexer>?
    private var places = 0
    private var channels: [any Channel] = []

    init(loop: any EventLoop, address: SocketAddress, streams: Int) {
        self.loop = loop
        self.address = address
        self.streams = streams
    }

    /// Opens a stream, and a connection for it where the newest is full.
    ///
    /// - Parameter index: which source address a new connection comes from.
    func open(source index: Int) -> EventLoopFuture<any Channel> {
        let connection = self.places > 0 ? self.newest ?? self.connect(index) : self.connect(index)
        if self.places == 0 { self.places = self.streams }
        self.places -= 1
        self.newest = connection
        return connection.assumeIsolated().flatMap { multiplexer in
            let promise = self.loop.makePromise(of: (any Channel).self)
            multiplexer.createStreamChannel(promise: promise) { $0.eventLoop.makeSucceededVoidFuture() }
            return promise.futureResult
        }.nonisolated()
    }

    private func connect(_ index: Int) -> EventLoopFuture<NIOHTTP2Handler.StreamMultiplexer> {
        var bootstrap = ClientBootstrap(group: self.loop).connectTimeout(.seconds(30))
        if let source = self.address.source(index) { bootstrap = bootstrap.bind(to: source) }
        return bootstrap.connect(to: self.address).assumeIsolated().flatMapThrowing { channel in
            let handler = NIOHTTP2Handler(
                mode: .client, eventLoop: channel.eventLoop, connectionConfiguration: .init(), streamConfiguration: .init()
            ) { $0.close() }
            try channel.pipeline.syncOperations.addHandler(handler)
            self.channels.append(channel)
            return try handler.syncMultiplexer()
        }.nonisolated()
    }

    /// Ends all connections at once.
    func drop() {
        for channel in self.channels { channel.abort() }
        self.channels = []
        self.newest = nil
        self.places = 0
    }
}

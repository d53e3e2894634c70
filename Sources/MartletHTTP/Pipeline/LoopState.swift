import NIOCore

/// What the connections of one event loop share. Confined to it.
final class LoopState: @unchecked Sendable {
    let loop: any EventLoop
    /// The shard of the node that runs on the same loop.
    let index: Int
    private let metrics: HTTPMetrics
    var date = HTTPDate()
    /// Every open connection, so that they can be closed when the server goes down.
    private var connections: [ObjectIdentifier: any Connection] = [:]
    private var isQuiescing = false
    private var whenEmpty: (@Sendable () -> Void)?

    /// Connections that carry no stream.
    private var fronts: [ObjectIdentifier: FrontHandler] = [:]
    private var isSweeping = false

    /// Time without a request after which a connection is closed.
    static let idleLimit = TimeAmount.seconds(75)
    /// Time without a byte of a body that is being read.
    static let silentBodyLimit = TimeAmount.seconds(30)
    /// Time for a client to read the refusal of what it is still sending.
    static let lingerLimit = TimeAmount.seconds(5)
    private static let sweepInterval = TimeAmount.seconds(5)

    init(loop: any EventLoop, index: Int, metrics: HTTPMetrics = HTTPMetrics()) {
        self.loop = loop
        self.index = index
        self.metrics = metrics
    }

    var count: Int { self.connections.count }

    func opened(_ connection: any Connection) {
        if self.connections.updateValue(connection, forKey: ObjectIdentifier(connection)) == nil { self.metrics.connections(1) }
        guard self.isQuiescing else { return }
        // It was accepted just before the others were told. Not now: its pipeline is being built.
        let bound = NIOLoopBound(connection, eventLoop: self.loop)
        self.loop.execute { bound.value.quiesce() }
    }

    func closed(_ connection: any Connection) {
        if self.connections.removeValue(forKey: ObjectIdentifier(connection)) != nil { self.metrics.connections(-1) }
        if self.connections.isEmpty, let whenEmpty = self.whenEmpty {
            self.whenEmpty = nil
            whenEmpty()
        }
    }

    // MARK: Silent clients

    /// From now on the connection ends when its client is silent for too long.
    func watch(_ front: FrontHandler) {
        self.fronts[ObjectIdentifier(front)] = front
        guard !self.isSweeping else { return }
        self.isSweeping = true
        self.loop.assumeIsolated().scheduleTask(in: Self.sweepInterval) { self.sweep() }
    }

    func unwatch(_ front: FrontHandler) { self.fronts[ObjectIdentifier(front)] = nil }

    private func sweep() {
        let now = NIODeadline.now()
        for front in Array(self.fronts.values) { front.sweep(now: now) }
        self.isSweeping = !self.fronts.isEmpty
        guard self.isSweeping else { return }
        self.loop.assumeIsolated().scheduleTask(in: Self.sweepInterval) { self.sweep() }
    }

    // MARK: Going down

    /// Ends idle connections now and the others after their answer.
    ///
    /// - Parameter whenEmpty: called once, when none is left.
    func quiesce(whenEmpty: @escaping @Sendable () -> Void) {
        self.isQuiescing = true
        guard !self.connections.isEmpty else { return whenEmpty() }
        self.whenEmpty = whenEmpty
        for connection in self.connections.values { connection.quiesce() }
    }

    func closeAll() {
        for connection in self.connections.values { connection.abort() }
    }
}

/// A handler that owns its connection.
protocol Connection: AnyObject {
    /// Ends now if nothing is going on, otherwise as soon as it is done.
    func quiesce()
    /// Ends now.
    func abort()
}

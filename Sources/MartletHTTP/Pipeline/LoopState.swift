import NIOCore

/// What the connections of one event loop share. Confined to it.
final class LoopState: @unchecked Sendable {
    let loop: any EventLoop
    /// The shard of the node that runs on the same loop.
    let index: Int
    private let metrics: HTTPMetrics
    var date = HTTPDate()
    /// Made by the first WebSocket that asks for compression.
    var deflate: LoopDeflate?
    /// Every open connection, so that they can be closed when the server goes down.
    private var connections: [ObjectIdentifier: any Connection] = [:]
    private var isQuiescing = false
    private var whenEmpty: (@Sendable () -> Void)?

    /// What has a limit of time.
    private var swept: [ObjectIdentifier: any Swept] = [:]
    private var isSweeping = false

    private static let sweepInterval = TimeAmount.seconds(1)

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

    /// From now on it is asked every second whether its time is over.
    func watch(_ swept: any Swept) {
        self.swept[ObjectIdentifier(swept)] = swept
        guard !self.isSweeping else { return }
        self.isSweeping = true
        self.scheduleSweep()
    }

    func unwatch(_ swept: any Swept) { self.swept[ObjectIdentifier(swept)] = nil }

    private func scheduleSweep() {
        self.loop.assumeIsolated().scheduleTask(in: Self.sweepInterval) { self.sweep() }
    }

    private func sweep() {
        let now = NIODeadline.now()
        for one in Array(self.swept.values) { one.sweep(now: now) }
        self.isSweeping = !self.swept.isEmpty
        if self.isSweeping { self.scheduleSweep() }
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

/// A connection with a limit of time: one timer of the loop serves all of them.
protocol Swept: AnyObject {
    /// Ends the connection if its time is over.
    func sweep(now: NIODeadline)
}

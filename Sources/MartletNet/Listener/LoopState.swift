package import NIOCore

/// What the connections of a loop share that are counted, and end, together. Confined to the loop.
package final class LoopState: @unchecked Sendable {
    package let loop: any EventLoop
    /// The shard of the node that runs on the same loop.
    package let index: Int
    private let counted: @Sendable (Int) -> Void
    /// Every open connection, so that they can be closed when the server goes down.
    private var connections: [ObjectIdentifier: any Connection] = [:]
    private var isQuiescing = false
    private var whenEmpty: (@Sendable () -> Void)?

    /// What has a limit of time.
    private var swept: [ObjectIdentifier: any Swept] = [:]
    private var isSweeping = false

    private static let sweepInterval = TimeAmount.seconds(1)

    /// - Parameter counted: told by how many the open connections change.
    package init(loop: any EventLoop, index: Int, counted: @escaping @Sendable (Int) -> Void = { _ in }) {
        self.loop = loop
        self.index = index
        self.counted = counted
    }

    package var count: Int { self.connections.count }

    /// From now on it is told when the server goes down; ``closed(_:)`` must follow.
    package func opened(_ connection: any Connection) {
        if self.connections.updateValue(connection, forKey: ObjectIdentifier(connection)) == nil { self.counted(1) }
        guard self.isQuiescing else { return }
        // It was accepted just before the others were told. Not now: its pipeline is being built.
        let bound = NIOLoopBound(connection, eventLoop: self.loop)
        self.loop.execute { bound.value.quiesce() }
    }

    package func closed(_ connection: any Connection) {
        if self.connections.removeValue(forKey: ObjectIdentifier(connection)) != nil { self.counted(-1) }
        if self.connections.isEmpty, let whenEmpty = self.whenEmpty {
            self.whenEmpty = nil
            whenEmpty()
        }
    }

    // MARK: Silent clients

    /// From now on it is asked every second whether its time is over.
    package func watch(_ swept: any Swept) {
        self.swept[ObjectIdentifier(swept)] = swept
        guard !self.isSweeping else { return }
        self.isSweeping = true
        self.scheduleSweep()
    }

    package func unwatch(_ swept: any Swept) { self.swept[ObjectIdentifier(swept)] = nil }

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
package protocol Connection: AnyObject {
    /// Ends now if nothing is going on, otherwise as soon as it is done.
    func quiesce()
    /// Ends now.
    func abort()
}

/// A connection with a limit of time: one timer of the loop serves all of them.
package protocol Swept: AnyObject {
    /// Ends the connection if its time is over.
    func sweep(now: NIODeadline)
}

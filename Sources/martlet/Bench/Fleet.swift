import NIOCore
import NIOPosix

/// Many subscribers, spread over event loops.
struct Fleet: Sendable {
    private let loops: [NIOLoopBound<LoadLoop>]
    private let eventLoops: [any EventLoop]

    /// - Parameter streams: how many members share a connection of HTTP/2; nil where each has a connection of its own.
    init(
        on eventLoops: [any EventLoop], address: SocketAddress, behaviour: MemberBehaviour = .init(), streams: Int? = nil,
        open: @escaping LoadLoop.Opener
    ) async throws {
        var loops: [NIOLoopBound<LoadLoop>] = []
        for loop in eventLoops {
            loops.append(
                try await loop.submit {
                    NIOLoopBound(LoadLoop(loop: loop, address: address, behaviour: behaviour, streams: streams, open: open), eventLoop: loop)
                }.get())
        }
        self.loops = loops
        self.eventLoops = eventLoops
    }

    /// Connects subscribers.
    ///
    /// - Parameters:
    ///   - indices: their numbers: which source address they come from.
    ///   - path: what each asks for.
    /// - Returns: seconds until the last was open or had failed.
    func connect(_ indices: Range<Int>, path: @escaping @Sendable (Int) -> String) async throws -> Double {
        for (number, loop) in self.loops.enumerated() {
            let step = self.loops.count
            try await self.eventLoops[number].submit {
                loop.value.add(indices.filter { $0 % step == number }.map { Member(index: $0, path: path($0)) })
            }.get()
        }
        return try await self.connect()
    }

    /// Connects those that are not connected.
    ///
    /// - Returns: seconds until the last was open or had failed.
    func connect() async throws -> Double {
        let started = LoadLoop.now()
        let futures = zip(self.loops, self.eventLoops).map { loop, eventLoop in eventLoop.flatSubmit { loop.value.connect() } }
        for future in futures { try await future.get() }
        return Double(LoadLoop.now() - started) / 1e9
    }

    /// Ends all connections at once.
    func drop() async throws { try await self.each { $0.drop() } }

    /// Lets those that stalled read again.
    func resume() async throws { try await self.each { $0.resume() } }

    func reset() async throws { try await self.each { $0.reset() } }

    /// Says what a member must have before it counts as recovered.
    func want(_ wanted: @escaping @Sendable (Int) -> Member.Wanted) async throws {
        try await self.each { loop in for member in loop.members { member.wanted = wanted(member.index) } }
    }

    func counts() async throws -> LoadCounts {
        var sum = LoadCounts()
        for (loop, eventLoop) in zip(self.loops, self.eventLoops) { sum.add(try await eventLoop.submit { loop.value.shot.counts }.get()) }
        return sum
    }

    func snapshot() async throws -> LoadSnapshot {
        var sum = LoadSnapshot()
        for (loop, eventLoop) in zip(self.loops, self.eventLoops) { sum.add(try await eventLoop.submit { loop.value.shot }.get()) }
        return sum
    }

    /// Waits until `isEnough`, or until nothing more has come for a while.
    ///
    /// - Parameters:
    ///   - quiet: seconds without anything new after which it gives up.
    ///   - progress: told about each look.
    @discardableResult func wait(
        quiet: Double, progress: (LoadCounts) -> Void = { _ in }, until isEnough: (LoadCounts) -> Bool
    ) async throws -> LoadCounts {
        var last = -1
        var changed = LoadLoop.now()
        while true {
            let counts = try await self.counts()
            progress(counts)
            if isEnough(counts) { return counts }
            let now = LoadLoop.now()
            if counts.received != last {
                last = counts.received
                changed = now
            } else if Double(now - changed) / 1e9 > quiet {
                return counts
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    func each(_ body: @escaping @Sendable (LoadLoop) -> Void) async throws {
        let futures = zip(self.loops, self.eventLoops).map { loop, eventLoop in eventLoop.submit { body(loop.value) } }
        for future in futures { try await future.get() }
    }
}

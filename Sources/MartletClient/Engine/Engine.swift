import Foundation

/// Runs a ``ClientMachine``: everything that happens goes through one lock, in the order in which it happens.
///
/// Its work is one task with six children, all of them ended by ``close()`` or when the ``Martlet`` goes: they open sessions, ask for
/// tokens, wait for the next point in time, save the position, and try a better transport.
final class Engine: Sendable {
    struct State {
        var machine: ClientMachine
        var isStarted = false
        var task: Task<Void, Never>?
        var lastID = 0
        /// Sequences that wait for their next message.
        var waiters: [Int: CheckedContinuation<Message?, any Error>] = [:]
        /// Sequences that are over, with the reason.
        var failed: [Int: MartletError] = [:]
        var publishes: [Int: CheckedContinuation<String, any Error>] = [:]
        var listeners: [Int: AsyncStream<Notice>.Continuation] = [:]
        var watchers: [Int: AsyncThrowingStream<Presence, any Error>.Continuation] = [:]
        var status = Status.idle
        /// Set once nothing follows.
        var ended: MartletError??
        /// The session that is being opened or is open.
        var session: (attempt: Int, outgoing: Outgoing, stop: Signal, isPolite: Locked<Bool>)?
        var armed: Int64 = .max
    }

    let state: Locked<State>
    let transports: [any MartletTransport]
    let options: MartletOptions
    let store: any CursorStore
    let token: (@Sendable () async throws -> String)?
    private let origin = ContinuousClock.now

    let sessions = AsyncStream.makeStream(of: SessionPlan.self)
    let tokens = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let probes = AsyncStream.makeStream(of: Int.self, bufferingPolicy: .bufferingNewest(1))
    let saves = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let rearm = Signal()
    let room = Signal()

    init(url: URL, token: (@Sendable () async throws -> String)?, user: String?, device: Device, options: MartletOptions) {
        self.options = options
        self.token = token
        self.store = options.store ?? FileCursorStore.standard(url: url, user: user) ?? MemoryCursorStore()
        let server = ServerAddress(url)
        let transports = (options.transports.isEmpty ? [.webSocket, .sse] : options.transports).map { $0.make(server) }
        self.transports = transports
        let link = Link(
            .init(
                transports: transports.count, usesTokens: token != nil, connectMs: Int64(options.connectSeconds * 1_000),
                upgradeMs: Int64(options.upgradeSeconds * 1_000)),
            backoff: Backoff(options.retry), tuner: HeartbeatTuner(options.heartbeat))
        self.state = Locked(
            State(
                machine: ClientMachine(
                    identity: .init(user: user, device: device, fromNow: options.fromNow, window: options.window),
                    transports: transports.map { ($0.name, $0.subscribes) }, link: link, publishQueue: options.publishQueue)))
    }

    /// Milliseconds since this began, by a clock that only goes forward.
    private var now: Int64 {
        let passed = self.origin.duration(to: .now).components
        return passed.seconds * 1_000 + passed.attoseconds / 1_000_000_000_000_000
    }

    /// Puts something in, and does what comes out, before anything else goes in.
    @discardableResult
    func feed<Result, Failure: Error>(_ body: (inout State, Int64) throws(Failure) -> Result) throws(Failure) -> Result {
        try self.state.with { (state: inout State) throws(Failure) -> Result in
            let now = self.now
            let result = try body(&state, now)
            for action in state.machine.take(now) { self.perform(action, &state) }
            let deadline = state.machine.deadline
            if deadline < state.armed {
                state.armed = deadline
                self.rearm.signal()
            }
            if !state.machine.deliveries.isFull { self.room.signal() }
            return result
        }
    }

    // MARK: Life

    /// Begins to connect, the first time it is called.
    func start() {
        self.state.with { state in
            guard !state.isStarted, state.ended == nil else { return }
            state.isStarted = true
            state.task = Task { await self.run() }
        }
    }

    /// Ends everything; does not wait for it.
    func abandon() {
        let task = self.feed { state, now in
            state.machine.close(now)
            return state.task
        }
        // Not under the lock: what is cancelled may need it.
        task?.cancel()
    }

    /// Ends everything, says what was handled, saves the position, and waits for that.
    func close() async {
        let task = self.feed { state, now in
            state.machine.close(now)
            return state.task
        }
        await task?.value
    }

    private func run() async {
        var saved: SavedState?
        do {
            saved = try await self.store.load().map { try JSONDecoder().decode(SavedState.self, from: $0) }
        } catch {
            // The server remembers what was acked; only what it was not told comes again.
            self.feed { state, _ in self.tell(.problem(MartletError(.storeFailed, "The position could not be read: \(error).")), &state) }
        }
        self.feed { [saved] state, now in
            state.machine.start(saved, newDevice: "swift-\(UUID().uuidString.lowercased())", heartbeat: self.options.heartbeat, now)
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await plan in self.sessions.stream { await self.session(plan) } }
            group.addTask { for await _ in self.tokens.stream { await self.askToken() } }
            group.addTask { for await transport in self.probes.stream { await self.probe(transport) } }
            group.addTask { await self.keepTime() }
            group.addTask { await self.keepSaving() }
        }
        for transport in self.transports { await transport.shutdown() }
    }

    private func keepTime() async {
        while !Task.isCancelled, self.state.with({ $0.ended == nil }) {
            let (pause, isArmed) = self.state.with { state in
                state.armed = state.machine.deadline
                return (max(0, state.armed - self.now), state.armed != .max)
            }
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.rearm.wait() }
                if isArmed { group.addTask { try? await Task.sleep(for: .milliseconds(min(pause, 86_400_000))) } }
                await group.next()
                group.cancelAll()
            }
            self.feed { state, now in state.machine.timer(now) }
        }
    }

    private func keepSaving() async {
        for await _ in self.saves.stream {
            await self.save()
            try? await Task.sleep(for: .milliseconds(100))
        }
        await self.save()
    }

    private func save() async {
        let saved = self.state.with { $0.machine.isRestored ? $0.machine.saved : nil }
        guard let saved, let data = try? JSONEncoder().encode(saved) else { return }
        do {
            try await self.store.save(data)
        } catch {
            self.feed { state, _ in self.tell(.problem(MartletError(.storeFailed, "The position could not be saved: \(error).")), &state) }
        }
    }

    private func askToken() async {
        guard let token = self.token else { return }
        var answer: Result<String, MartletError>
        do {
            let text = try await token()
            answer = text.isEmpty ? .failure(MartletError(.tokenFailed, "The token closure gave nothing.")) : .success(text)
        } catch {
            answer = .failure(MartletError(.tokenFailed, "The token closure failed: \(error)."))
        }
        self.feed { [answer] state, now in state.machine.token(answer, now) }
    }

    private func probe(_ index: Int) async {
        let isThrough = await self.transports[index].probe()
        self.feed { state, now in state.machine.probed(isThrough, now) }
    }

    // MARK: One session

    private func session(_ plan: SessionPlan) async {
        let session = self.state.with { $0.session }
        guard let session, session.attempt == plan.attempt else { return }
        let transport = self.transports[plan.transport]
        let end = await withTaskGroup(of: SessionEnd?.self) { group in
            group.addTask {
                await transport.session(plan, outgoing: session.outgoing) { await self.take($0, plan.attempt) }
            }
            group.addTask {
                await session.stop.wait()
                // Time to say what was handled.
                if session.isPolite.with({ $0 }) { try? await Task.sleep(for: .seconds(2)) }
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
        if let end { self.feed { state, now in state.machine.ended(plan.attempt, end, now) } }
    }

    /// Takes what came, and waits as long as there is no room for more.
    private func take(_ frame: ServerFrame, _ attempt: Int) async {
        let isFull = self.feed { state, now in
            state.machine.frame(attempt, frame, now)
            guard state.machine.deliveries.isFull else { return false }
            state.machine.paused(true, now)
            return true
        }
        guard isFull else { return }
        while !Task.isCancelled, self.state.with({ $0.machine.deliveries.isFull }) { await self.room.wait() }
        self.feed { state, now in state.machine.paused(false, now) }
    }
}

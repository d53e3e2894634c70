import Foundation

extension Engine {
    /// Does one thing; called under the lock, so that things are done in the order in which they were decided.
    func perform(_ action: ClientMachine.Action, _ state: inout State) {
        switch action {
        case .open(let plan):
            state.session = (plan.attempt, Outgoing(), Signal(), Locked(false))
            self.sessions.continuation.yield(plan)
        case .end(let attempt): if let session = state.session, session.attempt == attempt { session.stop.signal() }
        case .finish(let attempt):
            guard let session = state.session, session.attempt == attempt else { return }
            session.isPolite.with { $0 = true }
            session.outgoing.finish()
            session.stop.signal()
        case .send(let frame): state.session?.outgoing.put(frame)
        case .askToken: self.tokens.continuation.yield()
        case .probe(let transport): self.probes.continuation.yield(transport)
        case .connecting: self.say(.connecting, &state)
        case .connected: self.say(.connected(transport: self.transports[state.machine.link.transport].name), &state)
        case .waiting(let milliseconds, let error):
            self.say(.waiting(until: .now.addingTimeInterval(Double(milliseconds) / 1_000), error), &state)
        case .stopped(let error): self.end(error, &state)
        case .ready(let consumers): for id in consumers { self.wake(id, &state) }
        case .fail(let id, let error): self.fail(id, error, &state)
        case .gap(let gap): self.tell(.gap(gap), &state)
        case .presence(let presence, let ids): for id in ids { state.watchers[id]?.yield(presence) }
        case .unsubscribed(let topic, let reason): self.tell(.unsubscribed(topic: topic, reason: reason), &state)
        case .published(let ref, let result): state.publishes.removeValue(forKey: ref)?.resume(with: result.mapError { $0 as any Error })
        case .problem(let error): self.tell(.problem(error), &state)
        case .save: self.saves.continuation.yield()
        }
    }

    private func say(_ status: Status, _ state: inout State) {
        state.status = status
        self.tell(.status(status), &state)
    }

    func tell(_ notice: Notice, _ state: inout State) {
        for listener in state.listeners.values { listener.yield(notice) }
    }

    private func wake(_ id: Int, _ state: inout State) {
        guard state.waiters[id] != nil, let message = state.machine.next(for: id) else { return }
        state.waiters.removeValue(forKey: id)?.resume(returning: message)
    }

    private func fail(_ id: Int, _ error: MartletError, _ state: inout State) {
        state.failed[id] = error
        state.waiters.removeValue(forKey: id)?.resume(throwing: error)
        state.watchers.removeValue(forKey: id)?.finish(throwing: error)
    }

    private func end(_ error: MartletError?, _ state: inout State) {
        guard state.ended == nil else { return }
        state.ended = .some(error)
        self.say(.closed(error), &state)
        for waiter in state.waiters.values {
            if let error { waiter.resume(throwing: error) } else { waiter.resume(returning: nil) }
        }
        for publish in state.publishes.values { publish.resume(throwing: error ?? MartletError(.closed, "The client was closed.")) }
        for listener in state.listeners.values { listener.finish() }
        for watcher in state.watchers.values { watcher.finish(throwing: error) }
        (state.waiters, state.publishes, state.listeners, state.watchers) = ([:], [:], [:], [:])
        self.sessions.continuation.finish()
        self.tokens.continuation.finish()
        self.probes.continuation.finish()
        self.saves.continuation.finish()
        self.rearm.signal()
        self.room.signal()
    }

    // MARK: Sequences

    func add(_ wants: Deliveries.Wants, since: Since? = nil) -> Int {
        self.feed { state, now in
            state.lastID += 1
            state.machine.add(state.lastID, wants, since: since, now)
            return state.lastID
        }
    }

    func remove(_ id: Int) {
        self.feed { state, _ in
            state.machine.remove(id)
            state.failed[id] = nil
            state.watchers[id] = nil
            state.listeners[id] = nil
        }
    }

    func done(_ message: String, by id: Int) {
        self.feed { state, _ in state.machine.done(message, by: id) }
    }

    /// The next message of a sequence; nil when the task is cancelled or the client closed.
    func next(for id: Int) async throws -> Message? {
        self.start()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                self.feed { state, _ in
                    if Task.isCancelled { return continuation.resume(returning: nil) }
                    if let error = state.failed[id] { return continuation.resume(throwing: error) }
                    if let ended = state.ended {
                        if let error = ended { continuation.resume(throwing: error) } else { continuation.resume(returning: nil) }
                        return
                    }
                    if let message = state.machine.next(for: id) { return continuation.resume(returning: message) }
                    // Two tasks at one sequence: the earlier one ends.
                    state.waiters.updateValue(continuation, forKey: id)?.resume(returning: nil)
                }
            }
        } onCancel: {
            self.state.with { $0.waiters.removeValue(forKey: id) }?.resume(returning: nil)
        }
    }

    func publish(_ draft: Draft) async throws -> String {
        self.start()
        let place = Locked<Int?>(nil)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                self.feed { state, now in
                    if Task.isCancelled { return continuation.resume(throwing: CancellationError()) }
                    if let ended = state.ended {
                        return continuation.resume(throwing: ended ?? MartletError(.closed, "The client was closed."))
                    }
                    do throws(MartletError) {
                        let ref = try state.machine.publish(draft, now)
                        place.with { $0 = ref }
                        state.publishes[ref] = continuation
                    } catch {
                        continuation.resume(throwing: error)
                    }
                }
            }
        } onCancel: {
            self.feed { state, _ in
                guard let ref = place.with({ $0 }) else { return }
                state.machine.forgetPublish(ref)
                state.publishes.removeValue(forKey: ref)?.resume(throwing: CancellationError())
            }
        }
    }

    func listen() -> AsyncStream<Notice> {
        let (stream, continuation) = AsyncStream.makeStream(of: Notice.self, bufferingPolicy: .bufferingNewest(256))
        let id = self.feed { state, _ -> Int? in
            continuation.yield(.status(state.status))
            guard state.ended == nil else { return nil }
            state.lastID += 1
            state.listeners[state.lastID] = continuation
            return state.lastID
        }
        guard let id else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] why in
            // Its end is said under the lock.
            if case .cancelled = why { self?.state.with { $0.listeners[id] = nil } }
        }
        return stream
    }

    func watch(_ filter: String) -> AsyncThrowingStream<Presence, any Error> {
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: Presence.self, bufferingPolicy: .bufferingNewest(256))
        let id = self.feed { state, now -> Int? in
            if let ended = state.ended {
                continuation.finish(throwing: ended)
                return nil
            }
            state.lastID += 1
            state.watchers[state.lastID] = continuation
            state.machine.watch(state.lastID, filter, now)
            return state.lastID
        }
        guard let id else { return stream }
        continuation.onTermination = { [weak self] why in
            if case .cancelled = why { self?.remove(id) }
        }
        return stream
    }
}

import MartletCore
import MartletWire
import NIOCore

/// Publishing: which log a message of a topic goes to, and in what order it is stored and handed on.
extension Node {
    /// What becomes of one request once the store has answered.
    private enum Then {
        /// Its outcome is the store's.
        case nothing
        /// It goes into the queue of its topic, and from there to who is there.
        case handOn(AppendRequest, TopicKey, TopicOptions)
        /// Its outcome is the store's; what is published to the topic meanwhile goes to the store, too.
        case inLog(TopicKey)
        /// It goes into the queue beside the topic's own log: the request that this belongs to fails if this does.
        case queue
    }

    /// Publishes messages of topics, and hands the rest to the store; outcomes in the order of the requests.
    func publishMixed(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void) {
        var outcomes: [AppendOutcome?] = Array(repeating: nil, count: requests.count)
        var stored: [(request: AppendRequest, index: Int, then: Then)] = []
        var saves: [SessionSave] = []
        var wake: UInt64 = 0
        let now = self.clock.now()
        let at = self.clock.wall()
        for (index, request) in requests.enumerated() {
            guard let topic = request.topic else {
                stored.append((request, index, .nothing))
                continue
            }
            let key = TopicKey(app: request.app, name: topic.name)
            let options = self.options(of: key)
            var queued = self.queued(request, key)
            if options.storage == .durable, self.goesToLog(request, key, options, isQueued: queued != nil) {
                var kept = request
                kept.topic?.keep = self.hub.keep(request, of: key, options)
                if !options.keepsHistory { self.inLog.add(key) }
                stored.append((kept, index, options.keepsHistory ? .nothing : .inLog(key)))
            } else if let queued, Self.waits(request) {
                // It may have been published before, when nobody waited.
                if let known = self.hub.known(request, now: now) {
                    outcomes[index] = known
                    if let save = request.save { saves.append(save) }
                    continue
                }
                self.inStore.add(key)
                stored.append((queued, index, .handOn(request, key, options)))
                continue
            } else {
                let published = self.hub.publish(request, to: key, options: options, now: now, at: at, random: self.clock.random())
                outcomes[index] = published.outcome
                wake |= published.wake
                if let save = request.save { saves.append(save) }
                // Who began to wait while it was published would get neither the message nor, later, the value.
                if queued == nil, topic.retain == .set { queued = self.queued(request, key) }
            }
            guard var queued else { continue }
            queued.save = nil
            if Self.waits(request) {
                queued.idempotency?.key = "\u{1}" + (request.idempotency?.key ?? "")
                stored.append((queued, index, .queue))
            } else {
                let queue = TopicKey(app: request.app, name: queued.topic?.name ?? "")
                queued.idempotency = nil
                wake |= self.hub.publish(queued, to: queue, options: TopicOptions(), now: now, at: at, random: self.clock.random()).wake
            }
        }
        self.wake(wake)
        self.finish(stored, saves, outcomes, done)
    }

    /// Whether a message of a durable topic goes through the store.
    ///
    /// Without history only its values do; but what somebody acks, or what comes while a value of the topic is in the store, must not overtake
    /// those.
    private func goesToLog(_ request: AppendRequest, _ key: TopicKey, _ options: TopicOptions, isQueued: Bool) -> Bool {
        if request.topic?.retain != .leave { return true }
        if options.keepsHistory { return request.ttl > 0 }
        return Self.waits(request) && (isQueued || self.inLog.has(key) || self.hub.isAcked(key))
    }

    private func finish(
        _ stored: [(request: AppendRequest, index: Int, then: Then)], _ saves: [SessionSave], _ known: [AppendOutcome?],
        _ done: @escaping @Sendable ([AppendOutcome]) -> Void
    ) {
        guard saves.isEmpty else {
            return self.store.save(saves) { error in
                let known = known.map { outcome in
                    outcome.map { outcome in error.map { .failed($0) } ?? outcome }
                }
                self.finish(stored, [], known, done)
            }
        }
        guard !stored.isEmpty else { return done(known.compactMap { $0 }) }
        let plan = stored.map { (index: $0.index, then: $0.then) }
        let home = stored.contains { if case .handOn = $0.then { true } else { false } } ? self.shards.first?.loop : nil
        self.store.append(stored.map(\.request)) { result in
            // Handing on takes time that the store's writer should not spend. One loop, so that it keeps the order of the commits.
            guard let home, !home.inEventLoop else { return self.finish(plan, result, known, done) }
            home.execute { self.finish(plan, result, known, done) }
        }
    }

    private func finish(
        _ plan: [(index: Int, then: Then)], _ result: [AppendOutcome], _ known: [AppendOutcome?],
        _ done: @escaping @Sendable ([AppendOutcome]) -> Void
    ) {
        var outcomes = known
        for (part, outcome) in zip(plan, result) {
            switch part.then {
            case .nothing: outcomes[part.index] = outcome
            case .inLog(let key):
                outcomes[part.index] = outcome
                self.inLog.remove(key)
            case .queue:
                if case .failed = outcome {
                    outcomes[part.index] = outcome
                } else if case .stored(let copy, repeated: false) = outcome, case .stored(let id, repeated: false) = outcomes[part.index] {
                    self.copies.add(copy, of: id)
                }
            case .handOn(let request, let key, let options):
                outcomes[part.index] = outcome
                if case .stored(let id, repeated: false) = outcome { self.handOn(request, key, options, id) }
                self.inStore.remove(key)
            }
        }
        done(outcomes.map { $0 ?? .failed(StoreError(.stopped)) })
    }

    /// A message that waits for who is away goes to who is there, too.
    private func handOn(_ request: AppendRequest, _ key: TopicKey, _ options: TopicOptions, _ id: MessageID) {
        // Its idempotency key is known from now on where the store is not asked, too.
        let published = self.hub.publish(
            request, to: key, options: options, id: id, now: self.clock.now(), at: self.clock.wall(), random: 0)
        self.wake(published.wake)
    }

    /// Hands on messages of topics that the store has committed.
    func published(_ commits: [Commit]) {
        var mail: [(topic: TopicKey, mail: TopicMail)] = []
        // The newest of each queue.
        var queued: [TopicKey: UInt64] = [:]
        for case .published(let message, let topic) in commits {
            mail.append((topic, .message(message, topic: topic, log: .durable)))
            if QueueTopic.isQueue(topic.name) {
                queued[topic] = message.offset
            }
        }
        for (topic, offset) in queued { self.kept.queued(TopicKey(app: topic.app, name: QueueTopic.original(of: topic.name)), offset: offset) }
        if !mail.isEmpty { self.wake(self.hub.send(mail)) }
        let recalled = commits.compactMap { commit -> UInt64? in
            guard case .recalled(let offset, let targets) = commit, targets.isEmpty else { return nil }
            return offset
        }
        if !recalled.isEmpty { self.wake(self.hub.recalled(recalled)) }
    }
}

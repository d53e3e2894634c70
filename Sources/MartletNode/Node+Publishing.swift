import MartletCore
import MartletWire
import NIOCore

/// Publishing: which log a message of a topic goes to, and in what order it is stored and handed on.
extension Node {
    /// Publishes messages of topics, and hands the rest to the store; outcomes in the order of the requests.
    func publishMixed(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void) {
        var outcomes: [AppendOutcome?] = Array(repeating: nil, count: requests.count)
        var steps = PublishSteps()
        var wake: UInt64 = 0
        let now = self.clock.now()
        let at = self.clock.wall()
        for (index, request) in requests.enumerated() {
            guard let topic = request.topic else {
                steps.append(request, index, .nothing)
                continue
            }
            let key = TopicKey(app: request.app, name: topic.name)
            let options = self.options(of: key)
            var queued = self.queued(request, key)
            if options.storage == .durable, self.goesToLog(request, key, options, isQueued: queued != nil) {
                var kept = request
                kept.topic?.keep = self.hub.keep(request, of: key, options)
                if !options.keepsHistory { self.inLog.add(key) }
                steps.append(kept, index, options.keepsHistory ? .nothing : .inLog(key))
            } else if let queued, Self.waits(request) {
                // It may have been published before, when nobody waited.
                if let known = self.hub.known(request, now: now) {
                    outcomes[index] = known
                    if let save = request.save { steps.save(save, index) }
                    continue
                }
                self.inStore.add(key)
                steps.append(queued, index, .handOn(request, key, options))
                continue
            } else {
                let published = self.hub.publish(request, to: key, options: options, now: now, at: at, random: self.clock.random())
                outcomes[index] = published.outcome
                wake |= published.wake
                if let save = request.save { steps.save(save, index) }
                // Who began to wait while it was published would get neither the message nor, later, the value.
                if queued == nil, topic.retain == .set { queued = self.queued(request, key) }
            }
            guard var queued else { continue }
            queued.save = nil
            if Self.waits(request) {
                queued.idempotency?.key = "\u{1}" + (request.idempotency?.key ?? "")
                steps.append(queued, index, .queue)
            } else {
                let queue = TopicKey(app: request.app, name: queued.topic?.name ?? "")
                queued.idempotency = nil
                wake |= self.hub.publish(queued, to: queue, options: TopicOptions(), now: now, at: at, random: self.clock.random()).wake
            }
        }
        self.wake(wake)
        self.take(steps, outcomes, done)
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

    /// A message that waits for who is away goes to who is there, too.
    func handOn(_ request: AppendRequest, _ key: TopicKey, _ options: TopicOptions, _ id: MessageID) {
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

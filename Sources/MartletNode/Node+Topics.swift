package import MartletCore
import MartletWire
import NIOCore

/// Topics: which log a message goes to, who may subscribe, and what back ends ask.
extension Node: TopicDesk {
    package func options(of topic: TopicKey) -> TopicOptions { self.namespaces.options(of: topic.name, in: topic.app) }

    /// The options that say who may do what with a filter's topics; of one that spans namespaces, the strictest.
    func access(to filter: TopicFilter, in app: AppID) -> TopicOptions { self.namespaces.options(of: filter.text, in: app) }

    /// The options of all topics that a filter matches; nil if they may be of several namespaces.
    /// The logs that what a subscription wants may be kept in.
    func logs(of wish: SubscribeWish, in app: AppID) -> [TopicLogKind] {
        if QueueTopic.isQueue(wish.filter.text) { return [.durable] }
        let logs = self.logs(of: wish.filter, in: app)
        return logs.isEmpty && wish.options.qos > 0 ? [.memory] : logs
    }

    private func options(of filter: TopicFilter, in app: AppID) -> TopicOptions? {
        topicNamespace(filter.text) == nil ? nil : self.namespaces.options(of: filter.text, in: app)
    }

    /// The logs that a filter's topics may be kept in.
    func logs(of filter: TopicFilter, in app: AppID) -> [TopicLogKind] {
        guard let options = self.options(of: filter, in: app) else { return TopicLogKind.allCases }
        return options.log.map { [$0] } ?? []
    }

    /// Checks what a client wants to subscribe to.
    ///
    /// - Parameter present: what it is subscribed to already.
    /// - Throws: `forbidden` or `too_many_topics`.
    func check(
        _ wishes: [SubscribeWish], rights: TopicRights, app: AppID, beside present: TopicSubscriptions? = nil
    ) throws(WireError) {
        let limit = self.limits.topicsPerSession
        let new = wishes.reduce(0) { present?.slot(of: $1.filter) == nil ? $0 + 1 : $0 }
        guard (present?.count ?? 0) + new <= limit else {
            throw WireError(
                .tooManyTopics, "A session may have \(limit) subscriptions: use a filter with wildcards, or several sessions.", limit: limit)
        }
        for wish in wishes {
            let options = self.namespaces.options(of: wish.filter.text, in: app)
            guard rights.allows(.subscribe, wish.filter, options) else {
                throw WireError(.forbidden, "This client may not subscribe to the topic \(NameHint.quoted(wish.filter.text)).")
            }
            guard !wish.presence || rights.allows(.presence, wish.filter, options) else {
                throw WireError(
                    .forbidden,
                    options.presence == false
                        ? "Presence is off for the topic \(NameHint.quoted(wish.filter.text))."
                        : "This client may not see who subscribes to the topic \(NameHint.quoted(wish.filter.text)).")
            }
        }
    }

    /// What sessions may do has changed: subscriptions that are not allowed any more end.
    package func namespacesChanged() {
        for shard in self.shards {
            shard.loop.execute { for session in shard.sessions { session.endForbidden() } }
        }
    }

    // MARK: Mail

    /// Has loops take their mail.
    func wake(_ loops: UInt64) {
        var rest = loops
        while rest != 0 {
            let shard = self.shards[rest.trailingZeroBitCount]
            shard.loop.execute { shard.takeMail() }
            rest &= rest - 1
        }
    }

    // MARK: Asking

    package func history(_ request: TopicReadRequest, done: @escaping @Sendable (Result<TopicSlice, StoreError>) -> Void) {
        var request = request
        request.now = self.clock.now()
        switch self.logs(of: request.filter, in: request.app).first {
        case .durable: self.store.readTopic(request, done: done)
        case .memory: done(.success(self.hub.read(request)))
        case nil: done(.success(TopicSlice(entries: [], gaps: [], more: false, position: self.hub.end)))
        }
    }

    package func retained(_ topic: TopicKey, done: @escaping @Sendable (Result<StoredMessage?, StoreError>) -> Void) {
        let filter = TopicFilter(topic: topic.name)
        let now = self.clock.now()
        guard self.options(of: topic).storage == .durable else {
            return done(.success(self.hub.retained(topic, now: now)))
        }
        self.store.retained(RetainedRequest(app: topic.app, filter: filter, values: 1, now: now)) { done($0.map { $0.entries.first?.message }) }
    }

    /// Where the retained values of a filter's topics may be.
    func retainedLogs(of filter: TopicFilter, in app: AppID) -> [TopicLogKind] {
        guard let options = self.options(of: filter, in: app) else { return TopicLogKind.allCases }
        return [options.storage == .durable ? .durable : .memory]
    }

    package func info(_ topic: TopicKey, done: @escaping @Sendable (Result<TopicInfo, StoreError>) -> Void) {
        let count = Count()
        let counter = PassCounter(last: self.shards.count) { self.info(topic, subscribers: count.value, done: done) }
        for shard in self.shards {
            shard.loop.execute {
                count.add(shard.subscribers(of: topic))
                counter.pass()
            }
        }
    }

    private func info(
        _ topic: TopicKey, subscribers: Int, done: @escaping @Sendable (Result<TopicInfo, StoreError>) -> Void
    ) {
        let options = self.options(of: topic)
        let now = self.clock.now()
        self.retained(topic) { retained in
            let value: StoredMessage?
            switch retained {
            case .success(let message): value = message
            case .failure(let error): return done(.failure(error))
            }
            let finish: @Sendable (Result<TopicLogInfo?, StoreError>) -> Void = { log in
                done(
                    log.map {
                        TopicInfo(subscribers: subscribers, options: options, log: $0, hasRetained: value != nil)
                    })
            }
            switch options.log {
            case nil: finish(.success(nil))
            case .memory: finish(.success(self.hub.info(topic, now: now)))
            case .durable: self.store.topicInfo(topic, now: now) { finish($0.map { $0 }) }
            }
        }
    }
}

import Logging
package import MartletCore
import MartletWire
import NIOCore

/// Sessions that outlive their connections, as the node runs them.
extension Node {
    /// Takes over the sessions that were kept before the start. To be called once, before anything is published.
    ///
    /// - Parameter done: called on any thread.
    package func loadSessions(done: @escaping @Sendable (StoreError?) -> Void) {
        self.store.loadSessions { result in
            switch result {
            case .failure(let error): done(error)
            case .success(let rows):
                let sessions = rows.compactMap { KeptSession($0) }
                if sessions.count < rows.count {
                    self.logger.error("kept sessions cannot be read", metadata: ["count": "\(rows.count - sessions.count)"])
                }
                self.kept.load(sessions, wall: self.clock.wall())
                self.shards.first?.loop.execute { self.tendKept() }
                done(nil)
            }
        }
    }

    /// How often what is due is looked for.
    private static let tendInterval = TimeAmount.seconds(1)

    private func tendKept() {
        let due = self.kept.takeDue(wall: self.clock.wall()) { self.groups.hasMembers($0) }
        for will in due.wills { self.publish(will: will) }
        var saves = due.changed.map { SessionSave(key: $0.key, change: .set(settings: $0.settings, state: nil)) }
        saves += due.expired.map { SessionSave(key: $0, change: .delete) }
        if !saves.isEmpty { self.store.save(saves) { _ in } }
        // Those whose client came back in this moment are as new.
        let back = due.expired.compactMap { self.kept[$0] }
        if !back.isEmpty {
            self.store.save(back.map { SessionSave(key: $0.key, change: .set(settings: $0.settings, state: $0.state)) }) { _ in }
        }
        for (topic, upTo) in self.kept.takeNeedless() {
            self.store.trim(TopicKey(app: topic.app, name: QueueTopic.name(of: topic.name)), upTo: upTo)
        }
        self.metrics.kept(self.kept.count)
        self.shards.first?.loop.scheduleTask(in: Self.tendInterval) { self.tendKept() }
    }

    package func mayPublish(_ topic: String, app: AppID, rights: TopicRights) -> Bool {
        rights.allows(.publish, TopicFilter(topic: topic), self.options(of: TopicKey(app: app, name: topic)))
    }

    func publish(will: AppendRequest) {
        self.publish([will]) { outcomes in
            if case .failed(let error)? = outcomes.first {
                self.logger.error("a will could not be published", metadata: ["error": "\(error.detail)"])
            }
        }
    }

    // MARK: Opening

    /// Opens a session with terms, on its shard's loop.
    func openKept(_ session: LiveSession, _ terms: SessionTerms, _ claim: Registry.Claim) {
        guard let device = session.deviceKey else { return }
        guard let previous = self.registry.claim(device, for: claim, lineage: nil) else { return self.openKept(session, terms) }
        guard previous.shard !== session.shard else {
            previous.session.takenOver()
            return self.openKept(session, terms)
        }
        // What the old session leaves behind comes first.
        previous.shard.loop.execute {
            previous.session.takenOver()
            session.shard.loop.execute { self.openKept(session, terms) }
        }
    }

    /// Its device is its own by now.
    private func openKept(_ session: LiveSession, _ terms: SessionTerms) {
        guard let book = session.book, session.client != nil else { return }
        guard var begun = self.kept.begin(book.key, user: book.user, terms: terms, holder: book.holder) else {
            return session.refuse(
                WireError(
                    .tooManySessions, "The app keeps \(self.limits.keptSessions) sessions, as many as it may: let some end.",
                    limit: self.limits.keptSessions))
        }
        for will in begun.wills { self.publish(will: will) }
        begun.wills = []
        book.entered = begun
        if begun.resumed != nil { book.goesOn() }
        var saves: [SessionSave] = []
        if begun.hasDropped { saves.append(SessionSave(key: book.key, change: .delete)) }
        if book.isKept {
            var record = begun.resumed ?? KeptSession(key: book.key, user: book.user, expirySeconds: 0)
            record.expirySeconds = book.expirySeconds
            record.will = book.will
            record.endedAt = nil
            saves.append(SessionSave(key: book.key, change: .set(settings: record.settings, state: record.state)))
        }
        let resumed = begun.resumed
        guard !saves.isEmpty else { return session.begin(resumed) }
        self.store.save(saves) { error in
            session.shard.loop.execute {
                guard error == nil else { return session.refuse(Self.wireError(StoreError(.unavailable))) }
                session.begin(resumed)
            }
        }
    }

    /// A connection that has the session's entry goes before the session has begun: it is as it was before.
    func leave(_ book: SessionBook, _ entered: KeptSessions.Begun) {
        guard book.isKept else { return }
        guard let session = entered.resumed else {
            if self.kept.drop(book.key, holder: book.holder) { self.store.save([SessionSave(key: book.key, change: .delete)]) { _ in } }
            return
        }
        var before = session
        before.endedAt = before.endedAt ?? self.clock.wall()
        guard self.kept.ended(before, holder: book.holder) else { return }
        self.store.save([SessionSave(key: book.key, change: .set(settings: before.settings, state: before.state))]) { _ in }
    }

    // MARK: Queues

    /// What goes into the queue of a topic, if somebody waits for it.
    func queued(_ request: AppendRequest, _ topic: TopicKey) -> AppendRequest? {
        guard self.kept.wants(topic) else { return nil }
        var queued = request
        queued.topic = TopicAppend(
            name: QueueTopic.name(of: topic.name),
            keep: .init(messages: self.limits.queueMessages, seconds: self.limits.ttlMaxSeconds, bytes: self.limits.queueBytes))
        return queued
    }

    /// Whether a message waits for who is away, or is only for who is there.
    static func waits(_ request: AppendRequest) -> Bool { request.marks.qos > 0 && request.ttl > 0 }
}

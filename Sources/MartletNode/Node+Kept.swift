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
                self.loadQueues(done)
            }
        }
    }

    /// Finds the queues that were there before the start: what nobody needs of them any more is to go.
    private func loadQueues(_ done: @escaping @Sendable (StoreError?) -> Void) {
        self.store.topics(beginningWith: QueueTopic.prefix) { result in
            switch result {
            case .failure(let error): done(error)
            case .success(let found):
                for queue in found.topics {
                    self.kept.queued(TopicKey(app: queue.app, name: QueueTopic.original(of: queue.name)), offset: found.newest)
                }
                self.shards.first?.loop.execute { self.tendKept() }
                done(nil)
            }
        }
    }

    /// How often what is due is looked for.
    private static let tendInterval = TimeAmount.seconds(1)

    private func tendKept() {
        self.kept.inOrder {
            let due = self.kept.takeDue(wall: self.clock.wall()) { self.groups.hasMembers($0) }
            for (session, will) in due.changed {
                self.store(session.key, .set(settings: session.settings, state: session.state), will: will)
            }
            for (key, will) in due.expired { self.delete(key, will: will) }
            for undone in self.kept.takeUndone(withWills: self.store.isWritable) { self.again(undone) }
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

    // MARK: Ending

    /// Tries once more what the store could not do.
    private func again(_ undone: KeptSessions.Undone) {
        var wills = undone.wills[...]
        switch undone.record {
        case .write(let session): self.store(undone.key, .set(settings: session.settings, state: session.state), will: wills.popFirst())
        case .delete: self.delete(undone.key, will: wills.popFirst())
        case .leave: break
        }
        for will in wills { self.store(undone.key, nil, will: will) }
    }

    /// Stores what becomes of a session whose client is away, and publishes its will, in one commit: the will comes once, whenever the
    /// process ends.
    ///
    /// - Parameters:
    ///   - change: nil if there is nothing to be stored.
    ///   - done: called on any thread, when that is stored or has failed; what has failed is tried again before long.
    func store(_ key: DeviceKey, _ change: SessionSave.Change?, will: Will?, done: @escaping @Sendable () -> Void = {}) {
        self.write(key, change, will) { error in
            if error != nil, change != nil { self.kept.failed(key) }
            done()
        }
    }

    /// As ``store(_:will:done:)``: deletes the record of a session that is over.
    func delete(_ key: DeviceKey, will: Will?, done: @escaping @Sendable () -> Void = {}) {
        self.kept.willDelete(key)
        self.write(key, .delete, will) { error in
            self.kept.deleted(key, isDone: error == nil)
            done()
        }
    }

    private func write(_ key: DeviceKey, _ change: SessionSave.Change?, _ will: Will?, done: @escaping @Sendable (StoreError?) -> Void) {
        let save = change.map { SessionSave(key: key, change: $0) }
        guard let will else {
            guard let save else { return done(nil) }
            return self.store.save([save], done: done)
        }
        var request = will.request
        request.save = save
        self.publish([request]) { outcomes in
            guard case .failed(let error)? = outcomes.first else { return done(nil) }
            // Otherwise it is tried again until the store can.
            if !self.kept.failed(key, will) {
                self.logger.error("a will could not be published", metadata: ["error": "\(error.detail)"])
            }
            done(error)
        }
    }

    /// The connection of a session is gone that is not kept from now on.
    func end(_ book: SessionBook, will: Will?, done: @escaping @Sendable () -> Void) {
        let wasKept = book.isKept ? self.kept.drop(book.key, holder: book.holder) : self.kept.endLone(book.key)
        guard wasKept else { return self.store(book.key, nil, will: will, done: done) }
        self.delete(book.key, will: will, done: done)
    }

    // MARK: Opening

    /// Opens a session with terms, on its shard's loop.
    func openKept(_ session: LiveSession, _ terms: SessionTerms, _ claim: Registry.Claim) {
        guard let device = session.deviceKey else { return }
        if let book = session.book {
            do throws(WireError) {
                try self.kept.check(book.key, user: book.user, terms: terms, wall: self.clock.wall())
            } catch {
                return session.refuse(error)
            }
        }
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
        var refusal: WireError?
        var isStored = true
        self.kept.inOrder {
            do throws(WireError) {
                let begun = try self.kept.begin(book.key, user: book.user, terms: terms, holder: book.holder, wall: self.clock.wall())
                isStored = !self.begin(session, book, begun)
            } catch {
                refusal = error
            }
        }
        if let refusal { return session.refuse(refusal) }
        if isStored { session.begin(nil) }
    }

    /// Stores that a session begins, or goes on; then it does.
    ///
    /// - Returns: false if there is nothing to be stored.
    private func begin(_ session: LiveSession, _ book: SessionBook, _ begun: KeptSessions.Begun) -> Bool {
        book.entered = begun
        if begun.resumed != nil { book.goesOn() }
        let resumed = begun.resumed
        let begin: @Sendable (StoreError?) -> Void = { error in
            session.shard.loop.execute {
                guard error == nil else { return session.refuse(Self.wireError(StoreError(.unavailable))) }
                session.begin(resumed)
            }
        }
        // One that is not kept has a record for its will, which is published when the server is back if it dies.
        guard book.isKept || book.will != nil else {
            guard begun.hasDropped else { return false }
            let key = book.key
            self.kept.willDelete(key)
            self.write(key, .delete, begun.will) { error in
                self.kept.deleted(key, isDone: error == nil)
                begin(error)
            }
            return true
        }
        var record = resumed ?? KeptSession(key: book.key, user: book.user, expirySeconds: 0)
        record.expirySeconds = book.expirySeconds
        record.will = book.will
        record.endedAt = nil
        // All of it: nothing of what was there stays.
        self.write(book.key, .set(settings: record.settings, state: record.state), begun.will, done: begin)
        return true
    }

    /// A connection goes before its session has begun: what was kept is as it was before.
    ///
    /// - Parameter entered: nil if there was no time for anything.
    func leave(_ book: SessionBook, _ entered: KeptSessions.Begun?, done: @escaping @Sendable () -> Void) {
        guard let entered else { return done() }
        guard var before = entered.resumed else { return self.end(book, will: nil, done: done) }
        before.endedAt = before.endedAt ?? self.clock.wall()
        let isOwn = self.kept.ended(before, holder: book.holder)
        self.store(book.key, isOwn ? .set(settings: before.settings, state: before.state) : nil, will: nil, done: done)
    }

    // MARK: Queues

    /// What goes into the queue of a topic, if somebody waits for it.
    func queued(_ request: AppendRequest, _ topic: TopicKey) -> AppendRequest? {
        guard self.kept.wants(topic) || self.inStore.has(topic) else { return nil }
        var queued = request
        queued.topic = TopicAppend(
            name: QueueTopic.name(of: topic.name),
            keep: .init(messages: self.limits.queueMessages, seconds: self.limits.ttlMaxSeconds, bytes: self.limits.queueBytes))
        return queued
    }

    /// Whether a message waits for who is away, or is only for who is there.
    static func waits(_ request: AppendRequest) -> Bool { request.marks.qos > 0 && request.ttl > 0 }
}

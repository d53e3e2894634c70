import MartletCore

/// Names one polled URL of a bridge.
package struct FeedKey: Hashable, Sendable {
    /// Whose it is; nil for the one of a topic.
    package var user: String?

    package init(user: String?) { self.user = user }

    package static func == (left: FeedKey, right: FeedKey) -> Bool { isSameName(left.user, right.user) }
}

/// Decides for all URLs of one bridge what is polled when, what was changed, and what those who ask are given.
///
/// A value: it knows no clock, socket or task. Times are in milliseconds of any clock that never runs backwards.
package struct FeedTable {
    /// Something to do now.
    package enum Order: Equatable, Sendable {
        /// Ask the server, with the validators of the answer that is known. Followed by ``FeedTable/ended(_:_:at:random:)``.
        case poll(FeedKey, etag: String?, lastModified: String?)
        /// Push what is known already. Followed by ``FeedTable/pushed(_:_:at:)``.
        case push(FeedKey, Feed.Answer)
    }

    /// What the server said.
    package enum Outcome: Sendable {
        case answer(Feed.Answer)
        /// To a poll with validators only.
        case notModified
        case failure(PollFailure)
    }

    /// What those who ask are given.
    package enum Reply: Equatable, Sendable {
        /// Times in milliseconds. `stale`: why it is not current.
        case answer(Feed.Answer, age: Int64, maxAge: Int64, stale: PollFailure?)
        case failure(PollFailure, retryAfterMs: Int64)
        /// A poll will tell: with ``Ending/reply``.
        case wait
        /// As many URLs are polled as may be.
        case full
    }

    package struct Ending: Equatable {
        /// To be pushed now; followed by ``FeedTable/pushed(_:_:at:)``.
        package var push: Feed.Answer?
        /// For those who were told to wait; nil if they have to wait on.
        package var reply: Reply?
        package var isChanged = false
        /// Whether the last poll failed and this one did not, or the other way round.
        package var turned = false
    }

    package let plan: PollPlan
    private var feeds: [FeedKey: Feed] = [:]
    private var queue = DueQueue<FeedKey>()
    private var underWay = 0
    private var bytes = 0

    package init(_ plan: PollPlan) { self.plan = plan }

    /// Entries of the due queue, those included that stand for nothing any more.
    package var queued: Int { self.queue.count }

    package var count: Int { self.feeds.count }

    // MARK: Who wants it

    /// Somebody is there for what is pushed, or nobody is any more.
    ///
    /// - Returns: false if there is no room for it.
    package mutating func wanted(_ key: FeedKey, _ isWanted: Bool, at now: Int64) -> Bool {
        guard self.feeds[key]?.isWanted ?? false != isWanted else { return true }
        guard self.makeRoom(for: key, at: now) else { return false }
        self.change(key, at: now) {
            $0.isWanted = isWanted
            $0.usedAt = now
            $0.wantedAt = now
        }
        return true
    }

    /// Somebody asks for the answer.
    package mutating func asked(_ key: FeedKey, at now: Int64) -> Reply {
        guard self.makeRoom(for: key, at: now) else { return .full }
        let plan = self.plan
        var reply = Reply.wait
        self.change(key, at: now) { feed in
            feed.usedAt = now
            reply = Self.reply(feed, plan, at: now)
            guard reply == .wait || feed.failures > 0 && !feed.isPolling && now >= feed.notBefore else { return }
            feed.isAwaited = true
        }
        return reply
    }

    private static func reply(_ feed: Feed, _ plan: PollPlan, at now: Int64) -> Reply {
        if let failure = feed.lastFailure {
            if let stale = self.stale(feed, plan, failure, at: now) { return stale }
            return feed.isPolling || now >= feed.notBefore ? .wait : .failure(failure, retryAfterMs: feed.notBefore - now)
        }
        guard let answer = feed.answer, answer.body != nil, let validatedAt = feed.validatedAt else { return .wait }
        // While it is pushed, it is polled anyway: the one before will do until the next is there.
        let grace = feed.isWanted ? min(plan.intervalMs, 1_000) : 0
        guard now < feed.notBefore + grace else { return .wait }
        return .answer(answer, age: now - validatedAt, maxAge: max(0, feed.notBefore - now), stale: nil)
    }

    private static func stale(_ feed: Feed, _ plan: PollPlan, _ failure: PollFailure, at now: Int64) -> Reply? {
        guard let answer = feed.answer, answer.body != nil, let validatedAt = feed.validatedAt, now - validatedAt <= plan.staleMs else { return nil }
        return .answer(answer, age: now - validatedAt, maxAge: 0, stale: failure)
    }

    // MARK: Polling

    /// What is to be done now.
    ///
    /// - Returns: also when to come back, if nothing happens before; nil if it would be for nothing.
    package mutating func takeOrders(at now: Int64) -> (orders: [Order], next: Int64?) {
        var orders: [Order] = []
        while self.underWay < self.plan.polls, let first = self.queue.first, first.due <= now {
            self.queue.removeFirst()
            guard var feed = self.feeds[first.key] else { continue }
            if feed.queuedFor == first.due { feed.queuedFor = nil }
            if let due = feed.due(at: now), due <= now {
                let isPush = !feed.isAwaited && feed.canPush(at: now)
                let isConditional = feed.isConditional(at: now)
                if isPush { feed.isPolling = true } else { feed.began(at: now) }
                self.underWay += 1
                if isPush, let answer = feed.answer {
                    orders.append(.push(first.key, answer))
                } else {
                    orders.append(
                        .poll(
                            first.key, etag: isConditional ? feed.answer?.etag : nil,
                            lastModified: isConditional ? feed.answer?.lastModified : nil))
                }
            }
            self.feeds[first.key] = feed
            self.enqueue(first.key, at: now)
        }
        return (orders, self.underWay < self.plan.polls ? self.queue.first?.due : nil)
    }

    /// A poll is over.
    package mutating func ended(_ key: FeedKey, _ outcome: Outcome, at now: Int64, random: UInt64) -> Ending {
        let plan = self.plan
        var ending = Ending()
        self.change(key, at: now) { feed in
            let wasFailing = feed.failures > 0
            switch outcome {
            case .answer(let answer): ending.isChanged = feed.answered(answer, plan, at: now, random: random)
            case .notModified: feed.confirmed(plan, at: now, random: random)
            case .failure(let failure): feed.failed(failure, plan, at: now, random: random)
            }
            ending.turned = wasFailing != (feed.failures > 0)
            ending.push = feed.failures == 0 && feed.isWanted && !feed.isPushed(at: now) && feed.answer?.body != nil ? feed.answer : nil
            ending.reply = Self.ended(feed, plan, at: now)
            if ending.reply != nil { feed.isAwaited = false }
            // Until it was pushed the next poll waits: what is pushed stays in order.
            if ending.push == nil { feed.isPolling = false }
        }
        if ending.push == nil { self.underWay -= 1 }
        self.trim(key, at: now)
        return ending
    }

    private static func ended(_ feed: Feed, _ plan: PollPlan, at now: Int64) -> Reply? {
        if let failure = feed.lastFailure {
            return self.stale(feed, plan, failure, at: now) ?? .failure(failure, retryAfterMs: max(0, feed.notBefore - now))
        }
        guard let answer = feed.answer, answer.body != nil else { return nil }
        return .answer(answer, age: 0, maxAge: max(0, feed.notBefore - now), stale: nil)
    }

    /// What was to be pushed is with the desk, or could not be taken.
    package mutating func pushed(_ key: FeedKey, _ isGood: Bool, at now: Int64) {
        let plan = self.plan
        self.underWay -= 1
        self.change(key, at: now) { feed in
            feed.isPolling = false
            feed.pushed(isGood, plan, at: now)
        }
        self.trim(key, at: now)
    }

    // MARK: Keeping

    /// How long the oldest answer of those that are wanted is without a poll that went well; 0 if none is wanted.
    package func age(at now: Int64) -> Int64 {
        self.feeds.values.reduce(0) { $1.isWanted ? max($0, now - max($1.validatedAt ?? 0, $1.wantedAt)) : $0 }
    }

    /// URLs that are polled.
    package var wantedCount: Int { self.feeds.values.count { $0.isWanted } }

    private mutating func change(_ key: FeedKey, at now: Int64, _ body: (inout Feed) -> Void) {
        var feed = self.feeds.removeValue(forKey: key) ?? Feed()
        self.bytes -= feed.weight
        body(&feed)
        self.bytes += feed.weight
        self.feeds[key] = feed
        self.enqueue(key, at: now)
    }

    /// Puts it where its time is, unless it stands there already.
    private mutating func enqueue(_ key: FeedKey, at now: Int64) {
        guard let feed = self.feeds[key], let due = feed.due(at: now), feed.queuedFor.map({ $0 > due }) ?? true else { return }
        self.feeds[key]?.queuedFor = due
        self.queue.add(key, due: due)
    }

    /// Lets go of a body that nobody needs, or that there is no room for.
    private mutating func trim(_ key: FeedKey, at now: Int64) {
        guard let feed = self.feeds[key], !feed.isPolling, feed.weight > 0 else { return }
        let isNeeded = self.plan.keepsBodies || feed.isWanted && !feed.isPushed(at: now)
        if !isNeeded || self.bytes > self.plan.bytes { self.change(key, at: now) { $0.dropBody() } }
    }

    /// Forgets URLs that nobody wanted for the longest time.
    private mutating func makeRoom(for key: FeedKey, at now: Int64) -> Bool {
        guard self.feeds[key] == nil, self.feeds.count >= self.plan.feeds else { return true }
        let idle = self.feeds.filter { $0.value.isIdle }.sorted { $0.value.usedAt < $1.value.usedAt }
        for (key, feed) in idle.prefix(max(1, idle.count / 2)) {
            self.bytes -= feed.weight
            self.feeds[key] = nil
        }
        return !idle.isEmpty
    }
}

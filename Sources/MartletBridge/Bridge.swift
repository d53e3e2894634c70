import Logging
import MartletCore
import MartletWire
import NIOCore
import Synchronization

/// One bridge while the server runs: carries out what its table decides. Its polls are run by the service.
final class Bridge: Sendable {
    /// What it shares with the other bridges.
    struct Environment: Sendable {
        var audience: any Audience
        var desk: any MessageDesk
        var topics: any TopicDesk
        var limits: Limits
        var loop: any EventLoop
        /// Milliseconds of the server's clock.
        var now: @Sendable () -> Int64
        var random: @Sendable () -> UInt64
        var logger: Logger
        /// Has an order carried out in a task.
        var run: @Sendable (Bridge, FeedTable.Order) -> Void
    }

    private struct State {
        var table: FeedTable
        /// Those who wait for a poll, by its URL.
        var waiting: [FeedKey: [@Sendable (FeedTable.Reply?) -> Void]] = [:]
        var timer: Scheduled<Void>?
        var timerDue: Int64?
        var isStopped = false
        /// Whether a topic's retained value was looked at.
        var isRetainedKnown = false
        var loggedAt: Int64?
        var isFullLogged = false
    }

    let name: String
    let app: AppID
    let options: BridgeOptions
    let url: BridgeURL
    let metrics: BridgeMetrics
    let client: UpstreamClient
    private let environment: Environment
    private let state: Mutex<State>

    /// Time between two lines of the log about a URL that fails.
    private static let logPauseMs: Int64 = 60_000

    init(
        _ name: String, app: AppID, options: BridgeOptions, url: BridgeURL, client: UpstreamClient, metrics: BridgeMetrics,
        environment: Environment
    ) {
        self.name = name
        self.app = app
        self.options = options
        self.url = url
        self.client = client
        self.metrics = metrics
        self.environment = environment
        self.state = Mutex(State(table: FeedTable(options.plan)))
    }

    // MARK: Who wants it

    func start() {
        if let topic = self.topic {
            self.environment.audience.watchSubscribers(of: topic) { [weak self] in self?.audienceChanged(FeedKey(user: nil)) }
            self.audienceChanged(FeedKey(user: nil))
        } else {
            self.environment.audience.watchUsers(in: self.app) { [weak self] in self?.audienceChanged(FeedKey(user: $0)) }
        }
    }

    private var topic: TopicKey? { self.options.topic.map { TopicKey(app: self.app, name: $0) } }

    private func audienceChanged(_ key: FeedKey) {
        let isFull = self.state.withLock { state in
            // Asked with the lock held, so that the last to ask sees the last change.
            let isWanted =
                key.user.map { self.environment.audience.isPresent($0, in: self.app) } ?? self.topic.map(self.environment.audience.hasSubscribers)
            guard !state.isStopped, !state.table.wanted(key, isWanted ?? false, at: self.environment.now()), !state.isFullLogged else { return false }
            state.isFullLogged = true
            return true
        }
        if isFull {
            self.environment.logger.warning(
                "a bridge polls for as many users as it may", metadata: ["bridge": "\(self.name)", "users": "\(self.options.plan.feeds)"])
        }
        self.turn()
    }

    /// - Parameter done: called with nil if the server stops.
    func ask(_ key: FeedKey, done: @escaping @Sendable (FeedTable.Reply?) -> Void) {
        let reply: FeedTable.Reply? = self.state.withLock { state in
            guard !state.isStopped else { return nil }
            let reply = state.table.asked(key, at: self.environment.now())
            if reply == .wait { state.waiting[key, default: []].append(done) }
            return reply
        }
        if let reply, reply != .wait { self.metrics.answered(reply, waited: false) }
        if reply != .wait { done(reply) }
        self.turn()
    }

    var gauges: (age: Int64, wanted: Int) {
        self.state.withLock { ($0.table.age(at: self.environment.now()), $0.table.wantedCount) }
    }

    // MARK: Polling

    /// Begins what is due, and comes back when more is.
    private func turn() {
        let orders = self.state.withLock { state -> [FeedTable.Order] in
            guard !state.isStopped else { return [] }
            let now = self.environment.now()
            let (orders, next) = state.table.takeOrders(at: now)
            if let next, state.timerDue.map({ next < $0 }) ?? true {
                state.timer?.cancel()
                state.timerDue = next
                state.timer = self.environment.loop.scheduleTask(in: .milliseconds(max(0, next - now))) { [weak self] in self?.timerFired() }
            }
            return orders
        }
        for order in orders { self.environment.run(self, order) }
    }

    private func timerFired() {
        self.state.withLock { state in
            state.timer = nil
            state.timerDue = nil
        }
        self.turn()
    }

    /// Carries out an order to its end.
    func run(_ order: FeedTable.Order) async {
        switch order {
        case .push(let key, let answer): await self.push(key, answer)
        case .poll(let key, let etag, let lastModified):
            let began = NIODeadline.now()
            let outcome = await self.poll(key, etag: etag, lastModified: lastModified)
            let (ending, waiting, line) = self.ended(key, outcome)
            self.metrics.polled(outcome, isChanged: ending.isChanged, nanoseconds: (.now() - began).nanoseconds)
            if let line { self.log(line) }
            if let reply = ending.reply {
                for done in waiting {
                    self.metrics.answered(reply, waited: true)
                    done(reply)
                }
            }
            if let answer = ending.push { await self.push(key, answer) }
        }
        self.turn()
    }

    private func poll(_ key: FeedKey, etag: String?, lastModified: String?) async -> FeedTable.Outcome {
        guard let url = key.user.map(self.url.of(user:)) ?? self.url else { return .failure(PollFailure(.unusable)) }
        return await self.client.poll(url, user: key.user, etag: etag, lastModified: lastModified) { (body, contentType) throws(WireError) in
            _ = try self.request(key, body, contentType)
        }
    }

    private func ended(
        _ key: FeedKey, _ outcome: FeedTable.Outcome
    ) -> (ending: FeedTable.Ending, waiting: [@Sendable (FeedTable.Reply?) -> Void], line: PollFailure??) {
        self.state.withLock { state in
            let now = self.environment.now()
            let ending = state.table.ended(key, outcome, at: now, random: self.environment.random())
            let waiting = ending.reply == nil ? nil : state.waiting.removeValue(forKey: key)
            var line: PollFailure??
            if ending.turned {
                switch outcome {
                case .failure(let failure) where state.loggedAt.map({ now - $0 > Self.logPauseMs }) ?? true:
                    state.loggedAt = now
                    line = .some(failure)
                // Only what was told to fail is told to be well.
                case .answer where state.loggedAt != nil, .notModified where state.loggedAt != nil:
                    state.loggedAt = nil
                    line = .some(nil)
                default: break
                }
            }
            return (ending, waiting ?? [], line)
        }
    }

    private func log(_ failure: PollFailure?) {
        let host = "\(self.url.hostText):\(self.url.port)"
        if let failure {
            self.environment.logger.warning(
                "a bridge's URL does not answer", metadata: ["bridge": "\(self.name)", "host": "\(host)", "reason": "\(failure.text)"])
        } else {
            self.environment.logger.notice("a bridge's URL answers again", metadata: ["bridge": "\(self.name)", "host": "\(host)"])
        }
    }

    // MARK: Pushing

    private func request(_ key: FeedKey, _ body: [UInt8], _ contentType: String?) throws(WireError) -> AppendRequest {
        let target: PolledMessage.Target =
            if let user = key.user { .user(user, collapseKey: "bridge:\(self.name)") } else { .topic(self.options.topic ?? "") }
        let message = PolledMessage(target: target, type: self.options.type, ttl: Int(self.options.plan.ttlMs / 1_000))
        return try message.request(body, contentType: contentType, PublishParser(app: self.app, limits: self.environment.limits) { _ in [] })
    }

    private func push(_ key: FeedKey, _ answer: Feed.Answer) async {
        var isGood = false
        if let body = answer.body, let request = try? self.request(key, body, answer.contentType) {
            if await self.isRetained(request) {
                isGood = true
            } else {
                let outcome = await withCheckedContinuation { continuation in
                    self.environment.desk.publish([request]) { continuation.resume(returning: $0.first) }
                }
                if case .stored = outcome { isGood = true }
                self.metrics.pushed(isGood)
            }
        }
        self.state.withLock { $0.table.pushed(key, isGood, at: self.environment.now()) }
        self.turn()
    }

    /// Whether the topic's retained value is this already, which a server that was restarted has forgotten. Looked at once.
    private func isRetained(_ request: AppendRequest) async -> Bool {
        guard let topic = self.topic, !self.state.withLock({ $0.isRetainedKnown }) else { return false }
        let retained = await withCheckedContinuation { continuation in
            self.environment.topics.retained(topic) { continuation.resume(returning: $0) }
        }
        guard case .success(let message) = retained else { return false }
        self.state.withLock { $0.isRetainedKnown = true }
        return message.map { $0.fragment.suffix(request.members.count).elementsEqual(request.members) } ?? false
    }

    func stop() {
        let waiting = self.state.withLock { state in
            state.isStopped = true
            state.timer?.cancel()
            state.timer = nil
            defer { state.waiting = [:] }
            return state.waiting.values.flatMap { $0 }
        }
        for done in waiting { done(nil) }
    }
}

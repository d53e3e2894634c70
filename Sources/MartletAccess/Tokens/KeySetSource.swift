import AsyncHTTPClient
import Logging
import NIOCore
import Synchronization

/// The keys at a JWKS URL: fetched, kept, fetched again. What was fetched stays in force while the server of the URL is away.
package final class KeySetSource: Sendable {
    /// How often it is fetched.
    package struct Schedule: Sendable {
        /// After a success, in seconds. Default one hour.
        package var refreshSeconds = 3_600
        /// After a failure, and at most because of an unknown key, in seconds. Default 10.
        package var retrySeconds = 10
        package init() {}
    }

    private struct State {
        /// nil until the first success.
        var keys: [VerifyingKey]?
        var askedAt: ContinuousClock.Instant?
        var isFetching = false
        /// Whether the last fetch brought a set.
        var isGood = false
        var waiting: [@Sendable () -> Void] = []
    }

    private let url: String
    private let http: HTTPClient
    private let schedule: Schedule
    private let logger: Logger
    private let state = Mutex(State())
    /// Called when other keys came.
    private let changed: @Sendable () -> Void

    /// Longest key set, in bytes, and time to get it.
    private static let longest = 262_144
    private static let timeout = TimeAmount.seconds(5)
    /// Tokens that wait for one fetch.
    private static let waitingLimit = 4_096

    init(url: String, http: HTTPClient, schedule: Schedule, logger: Logger, changed: @escaping @Sendable () -> Void) {
        self.url = url
        self.http = http
        self.schedule = schedule
        self.logger = logger
        self.changed = changed
    }

    /// Gives the keys that may have signed a token; if it names one that is not known, after a fetch, if there was none lately.
    ///
    /// - Parameter body: called with nil if no key set could be fetched yet.
    func withKeys(for token: ParsedToken, _ body: @escaping @Sendable ([VerifyingKey]?) -> Void) {
        let found = self.keys(for: token)
        if let found, !found.isEmpty { return body(found) }
        guard self.refresh(then: { body(self.keys(for: token)) }) else { return body(found) }
    }

    private func keys(for token: ParsedToken) -> [VerifyingKey]? {
        self.state.withLock { $0.keys }?.filter {
            $0.algorithm == token.algorithm && (token.keyID == nil || $0.keyID == nil || $0.keyID == token.keyID)
        }
    }

    /// Fetches, unless that was done lately; who asks during a fetch waits for it.
    ///
    /// - Returns: false if nothing is fetched; then `body` is not called.
    private func refresh(then body: @escaping @Sendable () -> Void) -> Bool {
        let now = ContinuousClock.now
        let begins: Bool? = self.state.withLock { state in
            guard state.isFetching || state.askedAt.map({ now - $0 >= .seconds(self.schedule.retrySeconds) }) ?? true,
                state.waiting.count < Self.waitingLimit
            else { return nil }
            state.waiting.append(body)
            guard !state.isFetching else { return false }
            state.isFetching = true
            state.askedAt = now
            return true
        }
        guard let begins else { return false }
        if begins { Task { await self.fetch() } }
        return true
    }

    /// Fetches now and from then on, until it is cancelled.
    func run() async {
        while !Task.isCancelled {
            let isFresh = await withCheckedContinuation { continuation in
                let begins = self.refresh { continuation.resume(returning: true) }
                if !begins { continuation.resume(returning: false) }
            }
            let isGood = isFresh && self.state.withLock { $0.isGood }
            try? await Task.sleep(for: .seconds(isGood ? self.schedule.refreshSeconds : self.schedule.retrySeconds))
        }
    }

    private func fetch() async {
        var problem: String?
        do {
            let response = try await self.http.execute(HTTPClientRequest(url: self.url), timeout: Self.timeout)
            // As text, because the type is of a module that nothing else here needs.
            guard "\(response.status)".hasPrefix("200") else { throw AccessError("it answered \(response.status)") }
            let body = try await response.body.collect(upTo: Self.longest)
            let keys = try await VerifyingKey.set(Array(body.readableBytesView))
            self.state.withLock { state in
                state.keys = keys
                state.isGood = true
            }
            self.changed()
        } catch {
            problem = "\(error)"
            self.state.withLock { $0.isGood = false }
        }
        if let problem {
            self.logger.warning(
                "the key set could not be fetched; the last one stays in force",
                metadata: ["url": "\(self.url)", "error": "\(problem)"])
        }
        let waiting = self.state.withLock { state in
            state.isFetching = false
            defer { state.waiting = [] }
            return state.waiting
        }
        for body in waiting { body() }
    }
}

/// What one polled URL last answered, and when it is polled again: of a topic, or of one user.
package struct Feed {
    /// A good answer of the URL's server.
    package struct Answer: Equatable, Sendable {
        /// nil if only its digest is remembered.
        package var body: [UInt8]?
        package var contentType: String?
        /// SHA-256 of the content type and the body.
        package var digest: [UInt8]
        /// `ETag` and `Last-Modified` as they came.
        package var etag: String?
        package var lastModified: String?

        package init(body: [UInt8]?, contentType: String?, digest: [UInt8], etag: String? = nil, lastModified: String? = nil) {
            self.body = body
            self.contentType = contentType
            self.digest = digest
            self.etag = etag
            self.lastModified = lastModified
        }
    }

    /// Whether somebody gets what is pushed.
    var isWanted = false
    /// Whether somebody who asked waits for the poll that is under way, or due.
    var isAwaited = false
    var isPolling = false
    private(set) var answer: Answer?
    /// When the answer was last known to be current.
    private(set) var validatedAt: Int64?
    /// Polls that failed since the last good one.
    private(set) var failures = 0
    private(set) var lastFailure: PollFailure?
    /// Nothing is polled before.
    private(set) var notBefore = Int64.min
    /// Until when those who are pushed the answer have it; nil if it was not pushed.
    private(set) var pushedUntil: Int64?
    /// Since the last good poll the desk could not take it.
    private var isPushRefused = false
    private var startedAt: Int64 = 0
    /// When somebody wanted or asked for it last.
    var usedAt: Int64 = 0
    /// Since when it is wanted.
    var wantedAt: Int64 = 0
    /// The earliest entry of the due queue that stands for it.
    var queuedFor: Int64?

    /// Bytes that it keeps.
    var weight: Int { self.answer?.body?.count ?? 0 }

    var isIdle: Bool { !self.isWanted && !self.isAwaited && !self.isPolling }

    /// When there is something to do; nil if there is nothing, or it is being done.
    func due(at now: Int64) -> Int64? {
        guard !self.isPolling else { return nil }
        if self.isAwaited || self.canPush(at: now) { return now }
        return self.isWanted ? max(self.notBefore, now) : nil
    }

    /// Whether what is known is to be pushed without a poll: it came while nobody wanted it.
    func canPush(at now: Int64) -> Bool {
        self.isWanted && !self.isPushed(at: now) && !self.isPushRefused && self.answer?.body != nil && self.failures == 0 && now < self.notBefore
    }

    func isPushed(at now: Int64) -> Bool { self.pushedUntil.map { now < $0 } ?? false }

    /// Whether the server may answer "not modified" to the next poll.
    func isConditional(at now: Int64) -> Bool {
        guard let answer = self.answer else { return false }
        return answer.body != nil || !self.isAwaited && (self.isPushed(at: now) || !self.isWanted)
    }

    mutating func began(at now: Int64) {
        self.isPolling = true
        self.startedAt = now
    }

    // MARK: How it ended

    /// The server answered.
    ///
    /// - Returns: whether it is another answer than before.
    mutating func answered(_ new: Answer, _ plan: PollPlan, at now: Int64, random: UInt64) -> Bool {
        let isChanged = new.digest != self.answer?.digest
        self.answer = new
        if isChanged { self.pushedUntil = nil }
        self.succeeded(plan, at: now, random: random)
        return isChanged
    }

    /// The server says that its answer is still the one before.
    mutating func confirmed(_ plan: PollPlan, at now: Int64, random: UInt64) {
        self.succeeded(plan, at: now, random: random)
    }

    private mutating func succeeded(_ plan: PollPlan, at now: Int64, random: UInt64) {
        self.failures = 0
        self.lastFailure = nil
        self.isPushRefused = false
        self.validatedAt = now
        // Counted from the beginning of the poll, and never later than the interval.
        self.notBefore = self.startedAt + plan.intervalMs - Int64(random % UInt64(min(plan.jitterMs, plan.intervalMs / 2) + 1))
    }

    mutating func failed(_ failure: PollFailure, _ plan: PollPlan, at now: Int64, random: UInt64) {
        self.failures += 1
        self.lastFailure = failure
        let longest = max(plan.intervalMs, PollPlan.longestPauseMs)
        let pause = min(longest, plan.intervalMs << Int64(min(self.failures - 1, 20)))
        // Apart, so that all who failed together do not come back together.
        let spread = pause + Int64(random % UInt64(pause / 2 + 1))
        self.notBefore = now + max(spread, min(failure.retryAfterMs ?? 0, PollPlan.longestRetryAfterMs))
    }

    /// What was pushed has arrived at the desk, or not.
    mutating func pushed(_ isGood: Bool, _ plan: PollPlan, at now: Int64) {
        self.pushedUntil = isGood ? now + plan.ttlMs : nil
        self.isPushRefused = !isGood
    }

    mutating func dropBody() { self.answer?.body = nil }
}

/// How often and how long a bridge polls. Times in milliseconds.
package struct PollPlan: Equatable, Sendable {
    package var intervalMs: Int64 = 10_000
    /// By how much a poll may come early; not more than half of the interval.
    package var jitterMs: Int64 = 500
    /// Until when an old answer is given to those who ask, while there is no new one.
    package var staleMs: Int64 = 300_000
    /// How long a message that was pushed is good.
    package var ttlMs: Int64 = 86_400_000
    /// Polls under way at once.
    package var polls = 8
    /// URLs known at once.
    package var feeds = 10_000
    /// Bytes of answers kept.
    package var bytes = 67_108_864
    /// Whether an answer is kept after it was pushed, for those who ask.
    package var keepsBodies = true

    /// Longest pause after failures, unless the interval is longer.
    package static let longestPauseMs: Int64 = 300_000
    /// As long as a server may keep us away with `Retry-After`.
    package static let longestRetryAfterMs: Int64 = 3_600_000

    package init() {}
}

/// Why a poll brought no answer.
package struct PollFailure: Error, Equatable, Sendable {
    /// The raw value is the metric's label.
    package enum Kind: String, CaseIterable, Sendable {
        /// It took longer than it may.
        case timeout
        /// No connection, or it ended too early.
        case connect
        /// The certificate is not good, or there is no TLS.
        case tls
        /// The name stands for an address that is never polled.
        case address
        /// Another status than 200, 204 and 304.
        case status
        /// A redirect to where nothing may be polled, or too many.
        case redirect
        /// More bytes than allowed.
        case tooLarge = "too_large"
        /// Compressed, or not what a message can hold.
        case unusable
    }

    package var kind: Kind
    /// The status, if it was that.
    package var status: Int?
    /// From `Retry-After`.
    package var retryAfterMs: Int64?

    package init(_ kind: Kind, status: Int? = nil, retryAfterMs: Int64? = nil) {
        self.kind = kind
        self.status = status
        self.retryAfterMs = retryAfterMs
    }

    /// For the log and for who asks: `status 503`, `timeout`.
    package var text: String { self.status.map { "status \($0)" } ?? self.kind.rawValue }
}

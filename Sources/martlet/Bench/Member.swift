/// One subscriber: what it asked for and what it got, over all its connections.
final class Member {
    let index: Int
    /// Without what the scenario adds for coming back.
    let path: String
    /// What came of its topic and of its inbox.
    var topic = SequenceCheck()
    var inbox = SequenceCheck()
    /// Where to go on; kept if the scenario asks for it.
    var cursor: String?
    /// How much it must have before it counts as recovered; nil if nobody waits for it.
    var wanted: Wanted?
    var connection: (any MemberConnection)?

    struct Wanted {
        var topic: Int
        var inbox: Int
        /// Nanoseconds of the monotonic clock.
        var since: UInt64
    }

    /// What came of each of several publishers, where they number their messages themselves.
    private var streams: [SequenceCheck] = []

    init(index: Int, path: String) {
        self.index = index
        self.path = path
    }

    /// - Parameter stream: 0 for the topic; from 1 on a publisher.
    /// - Returns: whether that number came for the first time.
    func add(_ number: Int, stream: Int) -> Bool {
        guard stream > 0, stream <= Self.maxStreams else { return self.topic.add(number) }
        while self.streams.count < stream { self.streams.append(SequenceCheck()) }
        return self.streams[stream - 1].add(number)
    }

    /// Publishers of one run.
    static let maxStreams = 1_000

    /// Counts the messages that a text holds.
    ///
    /// - Parameter now: when it came: nanoseconds of the monotonic clock.
    func count(_ text: UnsafeRawBufferPointer, _ now: UInt64, on loop: LoadLoop) {
        Stamp.find(in: text) { stamp in
            loop.shot.counts.received += 1
            if loop.shot.counts.first == 0 { loop.shot.counts.first = now }
            loop.shot.counts.last = now
            guard stamp.number > 0 else { return }
            if stamp.stream == 0 ? self.topic.add(stamp.number) : self.inbox.add(stamp.number) {
                if stamp.stream == 0 { loop.shot.counts.distinct += 1 } else { loop.shot.counts.inboxDistinct += 1 }
                loop.shot.latency.add(now > stamp.time ? now - stamp.time : 0)
            } else {
                loop.shot.counts.duplicates += 1
            }
        }
        guard let wanted = self.wanted, self.topic.distinct >= wanted.topic, self.inbox.distinct >= wanted.inbox else { return }
        self.wanted = nil
        loop.shot.counts.recovered += 1
        loop.shot.recovery.add(now &- wanted.since)
    }
}

/// What connections do with what they read.
struct MemberBehaviour: Sendable {
    /// Keeps the position, and counts gaps.
    var keepsCursor = false
    /// Acks what came of its inbox after each read: WebSocket only.
    var acks = false
    /// Stops to read once the stream is open.
    var stalls = false
}

/// What the connections of one loop, or of all, have done since the last reset.
struct LoadCounts: Sendable {
    var opened = 0
    var failed = 0
    /// Connections that are open now.
    var open = 0
    /// Connections that the server, or the network, ended.
    var closed = 0
    /// Messages, those of the warm-up included.
    var received = 0
    /// Different numbered messages of topics, and of inboxes.
    var distinct = 0
    var inboxDistinct = 0
    var duplicates = 0
    var gaps = 0
    var bytes = 0
    var recovered = 0
    /// When the first and the last message came: nanoseconds of the monotonic clock, 0 if none did.
    var first: UInt64 = 0
    var last: UInt64 = 0
    /// Why the first connection that failed, or was ended, did so.
    private(set) var problem: String?

    mutating func note(_ problem: String) { self.problem = self.problem ?? problem }

    mutating func add(_ other: LoadCounts) {
        self.opened += other.opened
        self.failed += other.failed
        self.open += other.open
        self.closed += other.closed
        self.received += other.received
        self.distinct += other.distinct
        self.inboxDistinct += other.inboxDistinct
        self.duplicates += other.duplicates
        self.gaps += other.gaps
        self.bytes += other.bytes
        self.recovered += other.recovered
        self.first = self.first == 0 ? other.first : other.first == 0 ? self.first : min(self.first, other.first)
        self.last = max(self.last, other.last)
        self.problem = self.problem ?? other.problem
    }
}

/// Counts and times.
struct LoadSnapshot: Sendable {
    var counts = LoadCounts()
    /// From publish to receive.
    var latency = Histogram()
    /// From connecting until the stream was open.
    var opening = Histogram()
    /// From coming back until all that was missed was there.
    var recovery = Histogram()
    /// From a ping to its answer.
    var pings = Histogram()

    mutating func add(_ other: LoadSnapshot) {
        self.counts.add(other.counts)
        self.latency.add(other.latency)
        self.opening.add(other.opening)
        self.recovery.add(other.recovery)
        self.pings.add(other.pings)
    }
}

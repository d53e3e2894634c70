import MartletBridge
import Testing

/// A table whose clock the test holds, with one URL unless it says otherwise.
private struct Bench {
    var table: FeedTable
    var now: Int64 = 1_000_000
    let one = FeedKey(user: nil)

    init(_ change: (inout PollPlan) -> Void = { _ in }) {
        var plan = PollPlan()
        plan.intervalMs = 1_000
        plan.jitterMs = 0
        change(&plan)
        self.table = FeedTable(plan)
    }

    mutating func orders() -> [FeedTable.Order] { self.table.takeOrders(at: self.now).orders }

    mutating func ended(_ outcome: FeedTable.Outcome, random: UInt64 = 0) -> FeedTable.Ending {
        self.table.ended(self.one, outcome, at: self.now, random: random)
    }

    /// One good poll to its end, pushed if it is to be.
    mutating func poll(_ text: String) -> FeedTable.Ending {
        let orders = self.orders()
        #expect(orders.count == 1)
        let ending = self.ended(.answer(.of(text)))
        if ending.push != nil { self.table.pushed(self.one, true, at: self.now) }
        return ending
    }
}

extension Feed.Answer {
    fileprivate static func of(_ text: String, etag: String? = "\"1\"") -> Feed.Answer {
        Feed.Answer(body: Array(text.utf8), contentType: "text/plain", digest: Array(text.utf8), etag: etag)
    }
}

extension FeedTable.Order {
    fileprivate static func poll(_ key: FeedKey, etag: String? = nil) -> FeedTable.Order { .poll(key, etag: etag, lastModified: nil) }
}

@Suite("Polling, without a socket")
struct FeedTableTests {
    @Test("Nobody is there: nothing is polled; somebody comes: at once, then once an interval")
    func interval() {
        var bench = Bench()
        #expect(bench.orders() == [])
        #expect(bench.table.takeOrders(at: bench.now).next == nil)
        #expect(bench.table.wanted(bench.one, true, at: bench.now) == true)
        #expect(bench.orders() == [.poll(bench.one)])
        #expect(bench.orders() == [])
        bench.now += 300
        #expect(bench.ended(.answer(.of("a"))).push == .of("a"))
        bench.table.pushed(bench.one, true, at: bench.now)
        // The interval is between the beginnings.
        let (orders, next) = bench.table.takeOrders(at: bench.now)
        #expect(orders == [])
        #expect(next == 1_001_000)
        bench.now = 1_001_000
        #expect(bench.orders() == [.poll(bench.one, etag: "\"1\"")])
    }

    @Test("Only another answer is pushed")
    func changes() {
        var bench = Bench()
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        #expect(bench.poll("a").isChanged == true)
        bench.now += 1_000
        let same = bench.poll("a")
        #expect(same.push == nil)
        #expect(same.reply == .answer(.of("a"), age: 0, maxAge: 1_000, stale: nil))
        bench.now += 1_000
        #expect(bench.orders().count == 1)
        #expect(bench.ended(.notModified).push == nil)
        bench.now += 1_000
        #expect(bench.poll("b").push == .of("b"))
    }

    @Test("The last leaves: polling stops; who comes back soon waits for the interval, and is not pushed the same again")
    func leaving() {
        var bench = Bench()
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        _ = bench.poll("a")
        _ = bench.table.wanted(bench.one, false, at: bench.now)
        bench.now += 10_000
        #expect(bench.orders() == [])
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        #expect(bench.poll("a").push == nil)
        bench.now += 100
        _ = bench.table.wanted(bench.one, false, at: bench.now)
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        #expect(bench.orders() == [])
    }

    @Test("What came while nobody wanted it is pushed without a poll to who comes")
    func pushedLater() {
        var bench = Bench()
        #expect(bench.table.asked(bench.one, at: bench.now) == .wait)
        #expect(bench.poll("a").push == nil)
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        #expect(bench.orders() == [.push(bench.one, .of("a"))])
        #expect(bench.orders() == [])
        bench.table.pushed(bench.one, true, at: bench.now)
        #expect(bench.orders() == [])
    }

    @Test("What the desk did not take is pushed with the next poll, not before")
    func refused() {
        var bench = Bench()
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        #expect(bench.orders().count == 1)
        #expect(bench.ended(.answer(.of("a"))).push != nil)
        bench.table.pushed(bench.one, false, at: bench.now)
        #expect(bench.orders() == [])
        bench.now += 1_000
        #expect(bench.orders() == [.poll(bench.one, etag: "\"1\"")])
        #expect(bench.ended(.notModified).push == .of("a"))
    }

    @Test("A pushed answer whose time to live is over is pushed again")
    func lifetime() {
        var bench = Bench { $0.ttlMs = 60_000 }
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        _ = bench.poll("a")
        bench.now += 59_999
        #expect(bench.poll("a").push == nil)
        bench.now += 1_000
        #expect(bench.poll("a").push == .of("a"))
    }

    @Test("Failures: pauses that double up to a limit, apart by chance, and never shorter than the interval")
    func backoff() {
        var bench = Bench()
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        var pauses: [Int64] = []
        for _ in 0..<12 {
            #expect(bench.orders().count == 1)
            _ = bench.ended(.failure(PollFailure(.timeout)))
            let next = bench.table.takeOrders(at: bench.now).next ?? 0
            pauses.append(next - bench.now)
            bench.now = next
        }
        #expect(pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300].map { $0 * 1_000 })
        #expect(bench.orders().count == 1)
        _ = bench.ended(.failure(PollFailure(.timeout)), random: 149_999)
        #expect(bench.table.takeOrders(at: bench.now).next == bench.now + 449_999)
    }

    @Test("One good poll ends the pauses; each turn is told once")
    func recovery() {
        var bench = Bench()
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        #expect(bench.poll("a").turned == false)
        bench.now += 1_000
        _ = bench.orders()
        #expect(bench.ended(.failure(PollFailure(.connect))).turned == true)
        bench.now += 1_500
        _ = bench.orders()
        #expect(bench.ended(.failure(PollFailure(.connect))).turned == false)
        bench.now += 4_000
        #expect(bench.poll("a").turned == true)
        #expect(bench.table.takeOrders(at: bench.now).next == bench.now + 1_000)
    }

    @Test("Retry-After is kept to, up to an hour")
    func retryAfter() {
        var bench = Bench()
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        _ = bench.orders()
        _ = bench.ended(.failure(PollFailure(.status, status: 503, retryAfterMs: 120_000)))
        #expect(bench.table.takeOrders(at: bench.now).next == bench.now + 120_000)
        bench.now += 120_000
        _ = bench.orders()
        _ = bench.ended(.failure(PollFailure(.status, status: 429, retryAfterMs: 86_400_000)))
        #expect(bench.table.takeOrders(at: bench.now).next == bench.now + 3_600_000)
    }

    @Test("Jitter only makes polls come earlier")
    func jitter() {
        var bench = Bench { $0.jitterMs = 100 }
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        for (random, pause) in [(0, 1_000), (100, 900), (101, 1_000), (UInt64.max, 922)] as [(UInt64, Int64)] {
            _ = bench.orders()
            _ = bench.ended(.failure(PollFailure(.connect)))
            bench.now += 10_000
            _ = bench.orders()
            if bench.ended(.answer(.of("a")), random: random).push != nil { bench.table.pushed(bench.one, true, at: bench.now) }
            let next = bench.table.takeOrders(at: bench.now).next ?? 0
            #expect(next == bench.now + pause, "\(random)")
            bench.now = next
        }
    }
}

@Suite("Answers for those who still poll")
struct AskingTests {
    @Test("They share one poll, and then its answer until the interval is over")
    func shared() {
        var bench = Bench()
        #expect(bench.table.asked(bench.one, at: bench.now) == .wait)
        #expect(bench.table.asked(bench.one, at: bench.now) == .wait)
        #expect(bench.orders() == [.poll(bench.one)])
        #expect(bench.table.asked(bench.one, at: bench.now) == .wait)
        #expect(bench.orders() == [])
        bench.now += 50
        #expect(bench.ended(.answer(.of("a"))).reply == .answer(.of("a"), age: 0, maxAge: 950, stale: nil))
        bench.now += 949
        #expect(bench.table.asked(bench.one, at: bench.now) == .answer(.of("a"), age: 949, maxAge: 1, stale: nil))
        #expect(bench.orders() == [])
        bench.now += 1
        #expect(bench.table.asked(bench.one, at: bench.now) == .wait)
        #expect(bench.orders() == [.poll(bench.one, etag: "\"1\"")])
        #expect(bench.ended(.notModified).reply == .answer(.of("a"), age: 0, maxAge: 1_000, stale: nil))
    }

    @Test("While it is pushed the answer before will do for a moment, not for ever")
    func wantedToo() {
        var bench = Bench()
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        _ = bench.poll("a")
        bench.now += 1_000
        _ = bench.orders()
        #expect(bench.table.asked(bench.one, at: bench.now) == .answer(.of("a"), age: 1_000, maxAge: 0, stale: nil))
        bench.now += 1_000
        #expect(bench.table.asked(bench.one, at: bench.now) == .wait)
    }

    @Test("The server is away: the last answer while it may be given, then the reason; its server is not asked more often for that")
    func stale() {
        var bench = Bench { $0.staleMs = 5_000 }
        let away = PollFailure(.status, status: 503)
        _ = bench.table.asked(bench.one, at: bench.now)
        _ = bench.poll("a")
        bench.now += 1_000
        #expect(bench.table.asked(bench.one, at: bench.now) == .wait)
        _ = bench.orders()
        #expect(bench.ended(.failure(away)).reply == .answer(.of("a"), age: 1_000, maxAge: 0, stale: away))
        bench.now += 500
        #expect(bench.table.asked(bench.one, at: bench.now) == .answer(.of("a"), age: 1_500, maxAge: 0, stale: away))
        #expect(bench.orders() == [])
        // The pause is over: who asks has it polled, and does not wait for it.
        bench.now += 500
        #expect(bench.table.asked(bench.one, at: bench.now) == .answer(.of("a"), age: 2_000, maxAge: 0, stale: away))
        #expect(bench.orders().count == 1)
        _ = bench.ended(.failure(away))
        bench.now += 3_500
        #expect(bench.table.asked(bench.one, at: bench.now) == .wait)
        _ = bench.orders()
        #expect(bench.ended(.failure(away)).reply == .failure(away, retryAfterMs: 4_000))
        bench.now += 1_000
        #expect(bench.table.asked(bench.one, at: bench.now) == .failure(away, retryAfterMs: 3_000))
        #expect(bench.orders() == [])
    }

    @Test("A body that was not kept is asked for in full")
    func forgotten() {
        var bench = Bench { $0.keepsBodies = false }
        _ = bench.table.wanted(bench.one, true, at: bench.now)
        _ = bench.poll("a")
        bench.now += 1_000
        #expect(bench.orders() == [.poll(bench.one, etag: "\"1\"")])
        // It comes for the body while the poll is under way, which can only say that nothing changed.
        #expect(bench.table.asked(bench.one, at: bench.now) == .wait)
        #expect(bench.ended(.notModified).reply == nil)
        #expect(bench.orders() == [.poll(bench.one)])
        #expect(bench.ended(.answer(.of("a"))).reply == .answer(.of("a"), age: 0, maxAge: 1_000, stale: nil))
    }
}

@Suite("Many users")
struct ManyFeedsTests {
    private func users(_ count: Int) -> [FeedKey] { (0..<count).map { FeedKey(user: "u\($0)") } }

    @Test("As many polls at once as may be, in the order in which they are due")
    func bounded() {
        var table = FeedTable(plan { $0.polls = 3 })
        let users = self.users(10)
        for (index, user) in users.enumerated() { #expect(table.wanted(user, true, at: Int64(index)) == true) }
        var polled: [FeedKey] = []
        var underWay: [FeedKey] = []
        while polled.count < 10 {
            let (orders, next) = table.takeOrders(at: 100)
            for case .poll(let key, _, _) in orders { underWay.append(key) }
            #expect(underWay.count <= 3)
            if underWay.count == 3 { #expect(next == nil) }
            guard !underWay.isEmpty else { break }
            let first = underWay.removeFirst()
            polled.append(first)
            if table.ended(first, .answer(.of("x")), at: 100, random: 0).push != nil { table.pushed(first, true, at: 100) }
        }
        #expect(polled == users)
    }

    @Test("Names are compared byte by byte")
    func names() {
        var table = FeedTable(plan { _ in })
        #expect(table.wanted(FeedKey(user: "\u{e9}"), true, at: 0) == true)
        #expect(table.wanted(FeedKey(user: "e\u{301}"), true, at: 0) == true)
        #expect(table.takeOrders(at: 0).orders.count == 2)
    }

    @Test("Who left goes first when there is no room; while all are there, no more are taken")
    func room() {
        var table = FeedTable(plan { $0.feeds = 4 })
        let users = self.users(6)
        for user in users.prefix(4) { #expect(table.wanted(user, true, at: 0) == true) }
        #expect(table.wanted(users[4], true, at: 0) == false)
        #expect(table.asked(users[4], at: 0) == .full)
        for case .poll(let key, _, _) in table.takeOrders(at: 0).orders {
            if table.ended(key, .answer(.of("x")), at: 0, random: 0).push != nil { table.pushed(key, true, at: 0) }
        }
        #expect(table.wanted(users[1], false, at: 1) == true)
        #expect(table.wanted(users[4], true, at: 2) == true)
        #expect(table.count == 4)
        #expect(table.wantedCount == 4)
    }

    @Test("Coming and going does not make the queue longer")
    func flapping() {
        var table = FeedTable(plan { $0.intervalMs = 60_000 })
        let user = FeedKey(user: "a")
        _ = table.wanted(user, true, at: 0)
        _ = table.takeOrders(at: 0)
        if table.ended(user, .answer(.of("x")), at: 0, random: 0).push != nil { table.pushed(user, true, at: 0) }
        for now in 1...1_000 {
            _ = table.wanted(user, false, at: Int64(now))
            _ = table.wanted(user, true, at: Int64(now))
            #expect(table.takeOrders(at: Int64(now)).orders == [])
        }
        #expect(table.queued <= 2)
    }

    @Test("Bodies beyond the limit are not kept, and what is kept is counted right")
    func bytes() {
        var table = FeedTable(plan { $0.bytes = 25 })
        for user in self.users(5) {
            #expect(table.asked(user, at: 0) == .wait)
            _ = table.takeOrders(at: 0)
            _ = table.ended(user, .answer(.of("0123456789")), at: 0, random: 0)
        }
        let kept = self.users(5).filter { if case .answer = table.asked($0, at: 1) { true } else { false } }
        #expect(kept == Array(self.users(5).prefix(2)))
    }

    private func plan(_ change: (inout PollPlan) -> Void) -> PollPlan {
        var plan = PollPlan()
        plan.intervalMs = 1_000
        plan.jitterMs = 0
        plan.polls = 100
        change(&plan)
        return plan
    }
}

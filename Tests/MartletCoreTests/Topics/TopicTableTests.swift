import MartletCore
import MartletTestSupport
import MartletWire
import Testing

struct TopicTableTests {
    // MARK: Keeping

    @Test func messagesComeBackInTheirOrder() throws {
        var topics = TopicFixture()
        let first = try topics.publish("a", #"{"x":1}"#)
        try topics.publish("b")
        try topics.publish("a")
        let slice = try topics.read("a")
        #expect(slice.entries.map(\.message.offset) == [1, 3])
        #expect(slice.entries.map(\.topic) == ["a", "a"])
        #expect(slice.entries[0].message === first)
        #expect(String(decoding: first.fragment, as: UTF8.self) == #""id":"\#(first.id)","at":\#(topics.at),"data":{"x":1}"#)
        #expect(!slice.more)
        #expect(slice.position == 3)
        #expect(slice.gaps.isEmpty)
        #expect(topics.info("a") == TopicLogInfo(messages: 2, bytes: slice.entries.reduce(0) { $0 + $1.message.weight }, first: 1, last: 3))
        #expect(topics.info("c") == TopicLogInfo(messages: 0, bytes: 0, first: nil, last: nil))
    }

    @Test func withoutHistoryNothingIsKept() throws {
        var topics = TopicFixture(history: 0)
        for number in 1...1_000 as ClosedRange<UInt64> { #expect(try topics.publish("a\(number)").offset == number) }
        #expect(topics.table.end == 1_000)
        #expect(topics.table.topicCount == 0)
        #expect(topics.table.bytes == 0)
        #expect(try topics.read("#", .after(3)).gaps.isEmpty)
        #expect(try topics.read("#", .after(3)).position == 1_000)
    }

    @Test func aMessageForThoseWhoAreThereIsNotKept() throws {
        var topics = TopicFixture()
        #expect(try topics.publish("a", ttl: 0).liveOnly)
        #expect(topics.table.topicCount == 0)
        try topics.publish("a")
        try topics.publish("a", ttl: 0)
        #expect(try topics.offsets("a") == [2])
    }

    @Test func appsAndSpellingsAreApart() throws {
        var topics = TopicFixture()
        try topics.publish("é")
        try topics.publish("e\u{301}")
        try topics.publish("é", app: AppID(2))
        #expect(try topics.offsets("é") == [1])
        #expect(try topics.offsets("e\u{301}") == [2])
        #expect(try topics.offsets("#") == [1, 2])
        #expect(try topics.offsets("#", app: AppID(2)) == [3])
    }

    @Test func expiredMessagesAreLeftOutWithoutAGap() throws {
        var topics = TopicFixture()
        try topics.publish("a", ttl: 10)
        try topics.publish("a", ttl: 100)
        topics.now += 10_000
        let slice = try topics.read("a", .after(0))
        #expect(slice.entries.map(\.message.offset) == [2])
        #expect(slice.gaps.isEmpty)
        #expect(topics.info("a").messages == 1)
        topics.now += 90_000
        topics.table.trim(now: topics.now)
        #expect(topics.table.topicCount == 0)
        #expect(topics.table.bytes == 0)
    }

    // MARK: Limits

    @Test func theNewestSoManyAreKept() throws {
        var topics = TopicFixture(history: 3)
        for _ in 0..<5 { try topics.publish("a") }
        let slice = try topics.read("a", .after(1))
        #expect(slice.entries.map(\.message.offset) == [3, 4, 5])
        #expect(slice.gaps == [TopicGap(topic: "a", reason: .trimmed, from: 1, to: 2)])
        #expect(try topics.read("a", .after(2)).gaps.isEmpty)
        #expect(try topics.read("a", .earliest).gaps.isEmpty)
        // What is kept changes with the newest append.
        topics.options.historyMessages = 1
        try topics.publish("a")
        #expect(try topics.offsets("a") == [6])
        topics.options.historyMessages = 0
        try topics.publish("a")
        #expect(try topics.read("a", .after(0)).gaps == [TopicGap(topic: "a", reason: .trimmed, from: 0, to: 6)])
    }

    @Test func bytesAreLimited() throws {
        var topics = TopicFixture()
        let weight = try topics.publish("b").weight
        topics.options.historyBytes = 2 * weight + 1
        for _ in 0..<3 { try topics.publish("a") }
        #expect(try topics.offsets("a") == [3, 4])
        #expect(topics.info("a").bytes == 2 * weight)
        // One that is too large alone pushes out everything, itself too.
        try topics.publish("a", String(repeating: "1", count: 3 * weight))
        let slice = try topics.read("a", .after(2))
        #expect(slice.entries.isEmpty)
        #expect(slice.gaps == [TopicGap(topic: "a", reason: .trimmed, from: 2, to: 5)])
    }

    @Test(arguments: [true, false]) func ageIsLimited(_ isSwept: Bool) throws {
        var topics = TopicFixture()
        topics.options.historySeconds = 60
        try topics.publish("a")
        topics.now += 30_000
        try topics.publish("a")
        topics.now += 30_000
        if isSwept { topics.table.trim(now: topics.now) }
        #expect(try topics.offsets("a", .after(0)) == [2])
        #expect(try topics.read("+", .after(0)).gaps == [TopicGap(topic: "a", reason: .trimmed, from: 0, to: 1)])
        topics.now += 30_000
        if isSwept { topics.table.trim(now: topics.now) }
        // Nothing is left of it, and what it lost is still known.
        #expect(try topics.read("+", .after(1)).gaps == [TopicGap(topic: "a", reason: .trimmed, from: 1, to: 2)])
        #expect(try topics.read("a", .after(1)).gaps == [TopicGap(topic: "a", reason: .trimmed, from: 1, to: 2)])
        #expect(try topics.read("a", .after(2)).gaps.isEmpty)
    }

    /// What a message went for does not depend on when it is looked for.
    @Test(arguments: [true, false]) func oneThatExpiredBeforeItWasTooOldIsNoLoss(_ isSwept: Bool) throws {
        var topics = TopicFixture()
        topics.options.historySeconds = 60
        try topics.publish("a", ttl: 90)
        try topics.publish("a", ttl: 30)
        try topics.publish("b", ttl: 60)
        topics.now += 100_000
        if isSwept { topics.table.trim(now: topics.now) }
        #expect(try topics.read("+", .after(0)).gaps == [TopicGap(topic: "a", reason: .trimmed, from: 0, to: 1)])
    }

    @Test func allTopicsTogetherAreLimited() throws {
        var limits = Limits()
        limits.topicMemoryBytes = 40_000
        var topics = TopicFixture(limits: limits, history: 1_000)
        let text = #""\#(String(repeating: "x", count: 1_000))""#
        for number in 0..<100 {
            try topics.publish("t\(number % 7)", text, retain: number % 7 == 0 ? .set : .leave)
            #expect(topics.table.bytes <= 40_000)
        }
        let kept = try topics.offsets("#")
        #expect(kept.count > 20)
        #expect(kept == Array((101 - UInt64(kept.count))...100))
        for number in 0..<7 {
            let gaps = try topics.read("t\(number)", .after(0)).gaps
            #expect(gaps.count == 1)
            #expect(gaps[0].to.map { $0 < kept[0] && $0 + 7 >= kept[0] } == true)
        }
    }

    @Test func oneAppDoesNotTakeWhatAnotherKeeps() throws {
        var limits = Limits()
        limits.topicMemoryBytes = 40_000
        var topics = TopicFixture(limits: limits, history: 1_000)
        let text = #""\#(String(repeating: "x", count: 1_000))""#
        let small = AppID(2)
        for _ in 0..<5 { try topics.publish("a", text, app: small) }
        try topics.publish("value", text, retain: .set, app: small)
        #expect(topics.table.takeEvictions() == TopicEvictions())
        for _ in 0..<500 { try topics.publish("a", text) }
        #expect(topics.table.bytes <= 40_000)
        #expect(try topics.offsets("#", app: small) == [1, 2, 3, 4, 5, 6])
        #expect(topics.table.retained(try topics.filter("#"), app: small, limit: 9, now: topics.now).count == 1)
        let left = try topics.offsets("a").count
        #expect(left > 15)
        #expect(topics.table.takeEvictions()[.memory] == 500 - left)
        // Beyond its share it loses its own.
        for _ in 0..<500 { try topics.publish("b", text, app: small) }
        #expect(try topics.offsets("a").count >= 15)
    }

    @Test func whatLimitsTakeIsCounted() throws {
        var topics = TopicFixture(history: 3)
        for _ in 0..<5 { try topics.publish("a") }
        topics.options.historyBytes = 1_000
        try topics.publish("a", #""\#(String(repeating: "x", count: 900))""#)
        let first = topics.table.takeEvictions()
        #expect(first[.messages] == 3 && first[.bytes] == 2)
        topics.now += 90_000_000
        try topics.publish("b", ttl: 1)
        topics.now += 2_000
        topics.table.trim(now: topics.now)
        let second = topics.table.takeEvictions()
        // What had expired by itself is not counted.
        #expect(second[.age] <= 1 && second[.messages] == 0 && second[.memory] == 0)
        #expect(topics.table.takeEvictions() == TopicEvictions())
    }

    @Test func theOldestRetainedValueGoesToo() throws {
        var limits = Limits()
        limits.topicMemoryBytes = 40_000
        var topics = TopicFixture(limits: limits, history: 0)
        let text = #""\#(String(repeating: "x", count: 1_000))""#
        for number in 0..<100 { try topics.publish("t\(number)", text, retain: .set) }
        #expect(topics.table.bytes <= 40_000)
        let left = try topics.retained("#", limit: 1_000)
        #expect(left.count > 15)
        #expect(Set(left) == Set((100 - left.count..<100).map { "t\($0)" }))
        #expect(topics.table.topicCount == left.count)
    }

    /// What very many topics lost is known to a bound; beyond it, too much is told, never too little.
    @Test func emptyTopicsAreForgottenInTheEnd() throws {
        var limits = Limits()
        limits.topicMemoryBytes = 400_000
        var topics = TopicFixture(limits: limits)
        topics.options.historySeconds = 1
        for number in 0..<1_000 {
            try topics.publish("t\(number)")
            topics.now += 1_000
            topics.table.trim(now: topics.now)
        }
        #expect(topics.table.topicCount < 120)
        #expect(try topics.read("t1", .after(0)).gaps.map(\.to) == [topics.read("never", .after(0)).gaps.first?.to])
        #expect(try topics.read("t999", .after(0)).gaps == [TopicGap(topic: "t999", reason: .trimmed, from: 0, to: 1_000)])
        #expect(try topics.read("t999", .after(1_000)).gaps.isEmpty)
        let floor = try #require(try topics.read("t1", .after(0)).gaps.first?.to)
        #expect(floor > 800 && floor < 1_000)
        #expect(try topics.read("t1", .after(floor)).gaps.isEmpty)
        let all = try topics.read("#", .after(0)).gaps
        #expect(all.first == TopicGap(topic: "#", reason: .trimmed, from: 0, to: floor))
        #expect(all.count == 1 + 1_000 - Int(floor))
        // A topic that comes again may have lost what was forgotten.
        try topics.publish("t1")
        #expect(try topics.read("t1", .after(3)).gaps == [TopicGap(topic: "t1", reason: .trimmed, from: 3, to: floor)])
    }

    // MARK: Reading

    @Test func filters() throws {
        var topics = TopicFixture()
        for name in ["a", "a/b", "a/c", "b/c", "$sys/c", "a/b/c", "/a"] { try topics.publish(name) }
        #expect(try topics.offsets("#") == [1, 2, 3, 4, 6, 7])
        #expect(try topics.offsets("a/#") == [1, 2, 3, 6])
        #expect(try topics.offsets("+/c") == [3, 4])
        #expect(try topics.offsets("a/+") == [2, 3])
        #expect(try topics.offsets("$sys/#") == [5])
        #expect(try topics.offsets("/+") == [7])
        #expect(try topics.read("a/+").entries.map(\.topic) == ["a/b", "a/c"])
        // From close to the end, where messages are looked at and not topics.
        #expect(try topics.offsets("+/c", .after(3)) == [4])
        #expect(try topics.offsets("a/#", .after(5)) == [6])
    }

    @Test func starts() throws {
        var topics = TopicFixture()
        for number in 0..<10 {
            topics.at += 1_000
            try topics.publish(number % 2 == 0 ? "a" : "b", ttl: number == 8 ? 1 : 1_000)
        }
        topics.now += 1_000
        #expect(try topics.offsets("a", .latest) == [])
        #expect(try topics.offsets("a", .earliest) == [1, 3, 5, 7])
        #expect(try topics.offsets("a", .last(2)) == [5, 7])
        #expect(try topics.offsets("a", .last(0)) == [])
        #expect(try topics.offsets("a", .last(100)) == [1, 3, 5, 7])
        #expect(try topics.offsets("+", .last(4)) == [6, 7, 8, 10])
        #expect(try topics.offsets("a", .time(topics.at - 5_000)) == [5, 7])
        #expect(try topics.offsets("+", .time(topics.at - 5_000)) == [5, 6, 7, 8, 10])
        #expect(try topics.offsets("+", .time(topics.at + 1)) == [])
        #expect(try topics.offsets("+", .time(0)) == [1, 2, 3, 4, 5, 6, 7, 8, 10])
        #expect(try topics.offsets("a", .after(5)) == [7])
        #expect(try topics.offsets("a", .after(500)) == [])
        #expect(try topics.read("c", .last(3)).position == 10)
    }

    @Test func aReadIsLimitedAndGoesOn() throws {
        var topics = TopicFixture()
        for number in 0..<20 { try topics.publish("t\(number % 3)") }
        let weight = try topics.read("t0").entries[0].message.weight
        var got: [UInt64] = []
        var start = TopicStart.last(15)
        while true {
            let slice = try topics.read("+", start, messages: 4)
            got += slice.entries.map(\.message.offset)
            #expect(slice.entries.count <= 4)
            guard slice.more else { break }
            #expect(slice.position == got.last)
            start = .after(slice.position)
        }
        #expect(got == Array(6...20))
        #expect(try topics.read("+", bytes: 2 * weight).entries.count == 2)
        #expect(try topics.read("+", bytes: 1).entries.count == 1)
        #expect(try topics.read("+", bytes: 1).more)
        #expect(try topics.read("+", messages: 20).more == false)
        let none = try topics.read("+", .after(3), messages: 0)
        #expect(none.entries.isEmpty && none.more && none.position == 3)
    }

    // MARK: Retained values

    @Test func theLastValueIsRetained() throws {
        var topics = TopicFixture(history: 0)
        try topics.publish("b", "1", retain: .set)
        try topics.publish("a", "2", retain: .set)
        let last = try topics.publish("b", "3", retain: .set)
        try topics.publish("b", "4")
        try topics.publish("c/d", "5", retain: .set)
        #expect(try topics.retained("#") == ["a", "b", "c/d"])
        #expect(try topics.retained("#", limit: 2) == ["a", "b"])
        #expect(try topics.retained("+") == ["a", "b"])
        #expect(topics.table.retained(try topics.filter("b"), app: .dev, limit: 1, now: topics.now).first?.message === last)
        #expect(topics.table.retained(try topics.filter("b"), app: AppID(2), limit: 1, now: topics.now).isEmpty)
        // It is not history.
        #expect(try topics.offsets("#") == [])
        try topics.publish("b", "6", retain: .clear)
        #expect(try topics.retained("#") == ["a", "c/d"])
        try topics.publish("a", "7", ttl: 0, retain: .set)
        #expect(try topics.retained("#") == ["c/d"])
        try topics.publish("c/d", "8", ttl: 5, retain: .set)
        topics.now += 5_000
        #expect(try topics.retained("#") == [])
        topics.table.trim(now: topics.now)
        #expect(topics.table.topicCount == 0)
        #expect(topics.table.bytes == 0)
    }

    // MARK: Recall

    @Test func aRecalledMessageIsGone() throws {
        var topics = TopicFixture()
        let first = try topics.publish("a")
        let second = try topics.publish("a", retain: .set)
        let third = try topics.publish("a", ttl: 5)
        #expect(topics.table.remove(second.id, app: AppID(2), now: topics.now) == nil)
        #expect(topics.table.remove(topics.nextID(), app: .dev, now: topics.now) == nil)
        let removed = topics.table.remove(second.id, app: .dev, now: topics.now)
        #expect(removed?.outcome == .recalled)
        #expect(removed?.offset == 2)
        #expect(topics.table.remove(second.id, app: .dev, now: topics.now) == removed)
        let slice = try topics.read("a", .after(0))
        #expect(slice.entries.map(\.message.offset) == [1, 3])
        #expect(slice.gaps.isEmpty)
        #expect(try topics.retained("a") == [])
        topics.now += 5_000
        #expect(topics.table.remove(third.id, app: .dev, now: topics.now)?.outcome == .expired)
        #expect(topics.table.remove(first.id, app: .dev, now: topics.now)?.outcome == .recalled)
        #expect(try topics.read("a", .after(0)).entries.isEmpty)
        topics.table.trim(now: topics.now)
        #expect(topics.table.bytes == 0)
        // One that was never kept is not known.
        let live = try topics.publish("a", ttl: 0)
        #expect(topics.table.remove(live.id, app: .dev, now: topics.now) == nil)
    }

    // MARK: Idempotency

    @Test func aRepeatChangesNothing() throws {
        var limits = Limits()
        limits.idempotencyEntries = 3
        var topics = TopicFixture(limits: limits)
        guard case .stored(let first) = topics.append("a", "1", key: "k") else { throw WireError(.badRequest, "not stored") }
        guard case .repeated(first.id) = topics.append("a", "1", key: "k") else { throw WireError(.badRequest, "not repeated") }
        guard case .conflict = topics.append("a", "2", key: "k") else { throw WireError(.badRequest, "no conflict") }
        guard case .stored = topics.append("a", "2", key: "k", app: AppID(2)) else { throw WireError(.badRequest, "not stored") }
        guard case .stored = topics.append("a", "2", key: "é") else { throw WireError(.badRequest, "not stored") }
        guard case .stored = topics.append("a", "3", key: "e\u{301}") else { throw WireError(.badRequest, "not stored") }
        #expect(try topics.offsets("a") == [1, 3, 4])
        #expect(topics.table.end == 4)
        // The fourth pushes out the first.
        guard case .stored = topics.append("a", "4", key: "l") else { throw WireError(.badRequest, "not stored") }
        guard case .conflict = topics.append("a", "9", key: "é") else { throw WireError(.badRequest, "no conflict") }
        guard case .stored = topics.append("a", "9", key: "k") else { throw WireError(.badRequest, "not forgotten") }
        topics.now += Int64(limits.idempotencySeconds) * 1_000
        guard case .stored = topics.append("a", "10", key: "k") else { throw WireError(.badRequest, "not expired") }
    }
}

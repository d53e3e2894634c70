package import MartletCore
import MartletWire

extension LogStoreContract {
    static let topicCases: [Case] = [
        Case(name: "a topic's messages are announced and read in one order with all others") { fixture in
            try await fixture.send("1", to: "a/b")
            try await fixture.publish("inbox")
            try await fixture.send("2", "3", to: "a/b")
            try await fixture.send("other", to: "a/c")
            var announced: [UInt64] = []
            for case .published(let message, let topic) in fixture.commits where topic == TopicKey(app: .dev, name: "a/b") {
                announced.append(message.offset)
            }
            try expectEqual(announced, [1, 2, 3].map { $0 == 1 ? announced[0] : announced[0] + $0 }, "one offset lies between")
            let slice = try await fixture.history("a/b")
            try expectEqual(slice.entries.map(\.message.offset), announced, "what is read")
            try expectEqual(slice.entries.map(\.topic), ["a/b", "a/b", "a/b"], "with the topic's name")
            try expectEqual(slice.position, fixture.store.end, "up to the end of the log")
            try expect(!slice.more && slice.gaps.isEmpty, "and that is all")
            try expectEqual(try await fixture.texts(), ["inbox"], "no inbox has them")
        },
        Case(name: "nothing is read of a topic that is unknown, or another app's") { fixture in
            try await fixture.send("1", to: "a", keep: .init(messages: 0, seconds: 60, bytes: 100))
            try await fixture.send("1", to: "b")
            for (filter, app) in [("c", AppID.dev), ("b", AppID(2)), ("a", AppID(2)), ("#", AppID(2)), ("c/#", .dev)] {
                let slice = try await fixture.history(filter, .after(0), app: app)
                try expectEqual(slice.entries.count, 0, "\(filter) is empty")
                try expectEqual(slice.gaps, [], "\(filter) lost nothing")
                try expectEqual(slice.position, fixture.store.end, "up to the end")
            }
            try expectEqual(try await fixture.info("c"), TopicLogInfo(messages: 0, bytes: 0, first: nil, last: nil), "no info")
        },
        Case(name: "a filter reads all topics that match it, by offset") { fixture in
            let names = ["a", "a/", "/a", "a/b", "a/b/c", "ab", "a b", "a/c", "$a/b", "é", "e\u{301}", "a/é"]
            for name in names { try await fixture.send(name, to: name) }
            for filter in ["#", "+", "a/#", "a/+", "+/b", "/+", "a/+/c", "+/+/#", "$a/#", "$a/+", "x/#", "a/é", "a/e\u{301}", "+/é"] {
                let parsed = try TopicFilter(parsing: filter, limits: fixture.limits)
                let slice = try await fixture.history(filter)
                try expectEqual(slice.entries.map { Array($0.topic.utf8) }, names.filter { parsed.matches($0) }.map { Array($0.utf8) }, filter)
            }
        },
        Case(name: "reading begins where it is asked to") { fixture in
            for text in ["1", "2", "3", "4"] {
                try await fixture.send(text, to: "t/a")
                try await fixture.send("\(text)b", to: "t/b")
                try await fixture.send("\(text)x", to: "x")
                fixture.clock.advance(milliseconds: 1_000)
            }
            let all = try await fixture.history("t/a").entries.map(\.message)
            let both = ["1", "1b", "2", "2b", "3", "3b", "4", "4b"]
            for (start, one, many) in [
                (TopicStart.earliest, ["1", "2", "3", "4"], both), (.last(2), ["3", "4"], ["4", "4b"]), (.last(0), [], []),
                (.last(99), ["1", "2", "3", "4"], both), (.time(all[2].at), ["3", "4"], Array(both[4...])),
                (.time(all[2].at + 1), ["4"], Array(both[6...])), (.time(0), ["1", "2", "3", "4"], both),
                (.time(all[3].at + 1), [], []), (.after(all[1].offset), ["3", "4"], Array(both[3...])),
                (.after(all[3].offset), [], ["4b"]), (.after(fixture.store.end), [], []),
                (.after(fixture.store.end + 1_000), [], []),
            ] {
                try expectEqual(try await fixture.history("t/a", start).texts, one, "a, \(start)")
                try expectEqual(try await fixture.history("t/+", start).texts, many, "a and b, \(start)")
            }
        },
        Case(name: "a reading goes on where the one before ended, and gives each message once") { fixture in
            for number in 0..<40 { try await fixture.send("\(number)", to: ["t/a", "t/b", "x"][number % 3]) }
            for (filter, expected) in [("t/a", 14), ("t/+", 27), ("#", 40)] {
                for (messages, bytes) in [(1, 1 << 20), (3, 1 << 20), (7, 1), (100, 200), (1_000, 1 << 20)] {
                    var found: [UInt64] = []
                    var position: UInt64 = 0
                    var more = true
                    while more {
                        let slice = try await fixture.history(filter, .after(position), messages: messages, bytes: bytes)
                        found += slice.entries.map(\.message.offset)
                        try expect(slice.entries.count <= messages, "no more than asked for")
                        let size = slice.entries.reduce(0) { $0 + $1.message.weight }
                        try expect(size <= bytes || slice.entries.count == 1, "no more bytes than asked for, but for the first: \(size)")
                        try expect(!slice.more || slice.position > position, "it gets on")
                        if bytes > 1_000, !slice.more, filter != "#" { try expect(slice.position == fixture.store.end, "to the end") }
                        position = slice.position
                        more = slice.more
                    }
                    try expectEqual(found.count, expected, "\(filter), \(messages), \(bytes)")
                    try expect(zip(found, found.dropFirst()).allSatisfy { $0 < $1 }, "in order, each once")
                }
            }
            let none = try await fixture.history("t/a", .after(0), messages: 0)
            try expect(none.entries.isEmpty && none.more && none.position == 0, "no room, and it says that there is more")
        },
        Case(name: "a topic keeps as many messages as its newest append says; the rest is a gap") { fixture in
            try await fixture.send("1", "2", "3", to: "t", keep: .init(messages: 3, seconds: 600, bytes: 1 << 20))
            let offsets = try await fixture.history("t").entries.map(\.message.offset)
            try expectEqual(try await fixture.history("t", .after(0)).gaps, [], "nothing is gone yet")
            try await fixture.send("4", to: "t", keep: .init(messages: 3, seconds: 600, bytes: 1 << 20))
            let slice = try await fixture.history("t", .after(0))
            try expectEqual(slice.texts, ["2", "3", "4"], "the newest three")
            try expectEqual(slice.gaps, [fixture.gap("t", 0, offsets[0])], "the gap")
            try expectEqual(try await fixture.history("+", .after(0)).gaps, slice.gaps, "by a filter too")
            try expectEqual(try await fixture.history("t", .after(offsets[0])).gaps, [], "none for who had the first")
            for start in [TopicStart.earliest, .last(10), .time(0)] {
                try expectEqual(try await fixture.history("t", start).gaps, [], "none without a position: \(start)")
            }
            try await fixture.send("5", to: "t", keep: .init(messages: 2, seconds: 600, bytes: 1 << 20))
            let fewer = try await fixture.history("t", .after(offsets[0]))
            try expectEqual(fewer.texts, ["4", "5"], "the newest append counts")
            try expectEqual(fewer.gaps, [fixture.gap("t", offsets[0], offsets[2])], "the gap begins where the reading does")
            try await fixture.send("6", "7", to: "t", keep: .init(messages: 9, seconds: 600, bytes: 1 << 20))
            try expectEqual(try await fixture.history("t").texts, ["4", "5", "6", "7"], "more from now on")
            try await fixture.send("8", to: "t", keep: .init(messages: 0, seconds: 600, bytes: 1 << 20))
            let nothing = try await fixture.history("t", .after(offsets[2]))
            try expectEqual(nothing.texts, [], "none")
            try expectEqual(nothing.gaps, [fixture.gap("t", offsets[2], fixture.store.end)], "all of it is gone")
        },
        Case(name: "a topic is limited in bytes") { fixture in
            for number in 0..<20 { try await fixture.send("\(number)", to: "t", keep: .init(messages: 99, seconds: 600, bytes: 400)) }
            let slice = try await fixture.history("t", .after(0))
            let bytes = slice.entries.reduce(0) { $0 + $1.message.weight }
            try expect(bytes <= 400 && bytes > 250, "what is left fits: \(bytes) bytes")
            try expectEqual(slice.texts.last, "19", "the newest stays")
            guard let first = slice.entries.first?.message.offset else { throw Violation("nothing is left") }
            try expectEqual(slice.gaps, [fixture.gap("t", 0, first - 1)], "the gap ends before the first")
        },
        Case(name: "what is too old goes, and is a gap; what has expired is none") { fixture in
            let keep = TopicAppend.Keep(messages: 99, seconds: 10, bytes: 1 << 20)
            try await fixture.send("old", to: "t", keep: keep)
            let old = fixture.store.end
            fixture.clock.advance(milliseconds: 5_000)
            try await fixture.send("short", to: "t", ttl: 4, keep: keep)
            try await fixture.send("young", to: "t", keep: keep)
            fixture.clock.advance(milliseconds: 4_999)
            try expectEqual(try await fixture.history("t", .after(0)).texts, ["old", "young"], "until its time is over")
            fixture.clock.advance(milliseconds: 1)
            for filter in ["t", "+"] {
                let slice = try await fixture.history(filter, .after(0))
                try expectEqual(slice.texts, ["young"], "the old one is gone")
                try expectEqual(slice.gaps, [fixture.gap("t", 0, old)], "and told")
                try expectEqual(try await fixture.history(filter, .after(old)).gaps, [], "what has expired is not")
            }
            try expectEqual(try await fixture.info("t").messages, 1, "one is left")
            fixture.clock.advance(milliseconds: 5_000)
            let young = fixture.store.end
            try expectEqual(try await fixture.history("t", .after(old)).gaps, [fixture.gap("t", old, young)], "the young one later")
            fixture.clock.advance(milliseconds: 3_600_000 * 24 * 40)
            try expectEqual(try await fixture.history("t", .after(old)).gaps, [fixture.gap("t", old, young)], "long after too")
            try await fixture.send("new", to: "t", keep: .init(messages: 99, seconds: 86_400 * 90, bytes: 1 << 20))
            let slice = try await fixture.history("t", .after(0))
            try expectEqual(slice.texts, ["new"], "a longer time brings nothing back")
            try expectEqual(slice.gaps, [fixture.gap("t", 0, young)], "the gap")
        },
        Case(name: "what has expired does not fill a topic") { fixture in
            let keep = TopicAppend.Keep(messages: 3, seconds: 600, bytes: 1 << 20)
            try await fixture.send("1", to: "t", ttl: 60, keep: keep)
            try await fixture.send("2", "3", to: "t", ttl: 1, keep: keep)
            fixture.clock.advance(milliseconds: 1_000)
            try await fixture.send("4", "5", to: "t", keep: keep)
            let slice = try await fixture.history("t", .after(0))
            try expectEqual(slice.texts, ["1", "4", "5"], "all three fit")
            try expectEqual(slice.gaps, [], "no gap")
        },
        Case(name: "a live-only message of a topic is announced and not kept") { fixture in
            try await fixture.send("1", "2", to: "t", ttl: 0)
            try expectEqual(fixture.commits.count, 2, "announced")
            for start in [TopicStart.earliest, .after(0), .last(9)] {
                let slice = try await fixture.history("t", start)
                try expect(slice.entries.isEmpty && slice.gaps.isEmpty && !slice.more, "not read")
                try expectEqual(try await fixture.history("#", start).entries.count, 0, "by no filter")
            }
        },
        Case(name: "an idempotency key yields one message of a topic") { fixture in
            var request = fixture.message("x", to: "t")
            request.idempotency = .init(key: "k", digest: [1])
            let outcomes = await fixture.store.append([request, request])
            guard case .stored(let id, repeated: false) = outcomes[0] else { throw Violation("first: \(outcomes)") }
            try expectEqual(outcomes[1], .stored(id, repeated: true), "the repeat")
            request.idempotency = .init(key: "k", digest: [2])
            try expectEqual(await fixture.store.append([request]), [.conflict], "another digest")
            try expectEqual(try await fixture.history("t").texts, ["x"], "one message")
        },
        Case(name: "a recalled message of a topic is not read any more, and leaves no gap") { fixture in
            let ids = try await fixture.send("1", "2", "3", to: "t", keep: .init(messages: 3, seconds: 600, bytes: 1 << 20))
            let offsets = try await fixture.history("t").entries.map(\.message.offset)
            try expectEqual(try await fixture.store.recall(ids[1], app: .dev), .recalled, "recalled")
            try expectEqual(try await fixture.store.recall(ids[1], app: .dev), .recalled, "again")
            try expectEqual(try await fixture.store.recall(ids[0], app: AppID(2)), nil, "another app's")
            var recalls: [UInt64] = []
            for case .recalled(let offset, let targets) in fixture.commits {
                try expectEqual(targets, [], "no inbox has it")
                recalls.append(offset)
            }
            try expectEqual(recalls, [offsets[1]], "announced once")
            for filter in ["t", "#"] {
                let slice = try await fixture.history(filter, .after(0))
                try expectEqual(slice.texts, ["1", "3"], "what is left")
                try expectEqual(slice.gaps, [], "no gap")
            }
            try expectEqual(try await fixture.info("t").messages, 2, "it does not count")
            try await fixture.send("4", to: "t", keep: .init(messages: 3, seconds: 600, bytes: 1 << 20))
            try expectEqual(try await fixture.history("t", .after(0)).texts, ["1", "3", "4"], "its place is free")
            let status = try await fixture.status(ids[1])
            try expect(status.recalled && status.targets.isEmpty && status.devices.isEmpty, "the status")
        },
        Case(name: "what is kept of a topic is told") { fixture in
            try await fixture.send("1", "2", "3", to: "t", keep: .init(messages: 2, seconds: 60, bytes: 1 << 20))
            let kept = try await fixture.history("t").entries.map(\.message)
            try expectEqual(
                try await fixture.info("t"),
                TopicLogInfo(messages: 2, bytes: kept[0].weight + kept[1].weight, first: kept[0].offset, last: kept[1].offset), "two")
            fixture.clock.advance(milliseconds: 60_000)
            try expectEqual(try await fixture.info("t"), TopicLogInfo(messages: 0, bytes: 0, first: nil, last: nil), "none")
        },
    ]
}

extension TopicSlice {
    /// The texts of the messages, in order.
    var texts: [String] { self.entries.map { LogStoreContract.Fixture.text($0.message) } }
}

extension LogStoreContract.Fixture {
    static let roomy = TopicAppend.Keep(messages: 1_000, seconds: 86_400, bytes: 1 << 30)

    func message(
        _ text: String, to topic: String, ttl: Int = 1_800, retain: TopicAppend.Retain = .leave, keep: TopicAppend.Keep = roomy,
        app: AppID = .dev
    ) -> AppendRequest {
        AppendRequest(
            app: app, targets: [], ttl: ttl, topic: TopicAppend(name: topic, retain: retain, keep: keep), members: Self.members(text))
    }

    /// Stores one message of a topic for each text and returns their ids.
    @discardableResult
    func send(
        _ texts: String..., to topic: String, ttl: Int = 1_800, retain: TopicAppend.Retain = .leave, keep: TopicAppend.Keep = roomy,
        app: AppID = .dev
    ) async throws -> [MessageID] {
        let requests = texts.map { self.message($0, to: topic, ttl: ttl, retain: retain, keep: keep, app: app) }
        return try await self.store.append(requests).map { outcome in
            guard case .stored(let id, repeated: false) = outcome else { throw LogStoreContract.Violation("append said \(outcome)") }
            return id
        }
    }

    func history(
        _ filter: String, _ start: TopicStart = .earliest, messages: Int = 1_000, bytes: Int = 1 << 30, app: AppID = .dev
    ) async throws -> TopicSlice {
        try await self.store.readTopic(
            TopicReadRequest(
                app: app, filter: try TopicFilter(parsing: filter, limits: self.limits), start: start, messages: messages, bytes: bytes,
                now: self.clock.now))
    }

    func retained(_ filter: String, limit: Int = 100, app: AppID = .dev) async throws -> [String] {
        let filter = try TopicFilter(parsing: filter, limits: self.limits)
        let found = try await self.store.retained(filter, app: app, limit: limit, now: self.clock.now)
        return found.map { "\($0.topic): \(Self.text($0.message))" }
    }

    func info(_ topic: String) async throws -> TopicLogInfo {
        try await self.store.topicInfo(TopicKey(app: .dev, name: topic), now: self.clock.now)
    }

    func gap(_ topic: String, _ from: UInt64, _ to: UInt64) -> TopicGap {
        TopicGap(topic: topic, reason: .trimmed, from: from, to: to)
    }
}

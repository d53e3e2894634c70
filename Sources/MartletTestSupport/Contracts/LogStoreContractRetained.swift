import MartletCore
import MartletWire

extension LogStoreContract {
    static let retainedCases: [Case] = [
        Case(name: "the retained value is the newest that was set, until it is cleared or expires") { fixture in
            try expectEqual(try await fixture.retained("t"), [], "none at first")
            try await fixture.send("1", to: "t", ttl: 60, retain: .set)
            try await fixture.send("2", to: "t")
            try expectEqual(try await fixture.retained("t"), ["t: 1"], "a message without it changes nothing")
            try await fixture.send("3", to: "t", ttl: 60, retain: .set)
            try expectEqual(try await fixture.retained("t"), ["t: 3"], "replaced")
            let known = try await fixture.history("t").entries.map(\.message)
            let kept = try await fixture.store.retained(TopicFilter(topic: "t"), app: .dev, limit: 1, now: fixture.clock.now)
            try expectEqual(kept.first?.message.fragment, known.last?.fragment, "as it was stored")
            try expectEqual(kept.first?.message.offset, known.last?.offset, "with its offset")
            try expectEqual(kept.first?.message.id, known.last?.id, "and its id")
            fixture.clock.advance(milliseconds: 59_999)
            try expectEqual(try await fixture.retained("t"), ["t: 3"], "just within its time")
            fixture.clock.advance(milliseconds: 1)
            try expectEqual(try await fixture.retained("t"), [], "expired")
            try await fixture.send("4", to: "t", retain: .set)
            try await fixture.send("5", to: "t", retain: .clear)
            try expectEqual(try await fixture.retained("t"), [], "cleared")
            try await fixture.send("6", to: "t", retain: .set)
            try await fixture.send("7", to: "t", ttl: 0, retain: .set)
            try expectEqual(try await fixture.retained("t"), [], "replaced by what is over at once")
        },
        Case(name: "a retained value outlives the history") { fixture in
            let none = TopicAppend.Keep(messages: 1, seconds: 10, bytes: 1 << 20)
            let ids = try await fixture.send("kept", to: "t", retain: .set, keep: none)
            try await fixture.send("1", "2", "3", to: "t", keep: none)
            fixture.clock.advance(milliseconds: 20_000)
            try expectEqual(try await fixture.history("t").texts, [], "the history is over")
            try expectEqual(try await fixture.retained("#"), ["t: kept"], "the value is not")
            try expectEqual(try await fixture.store.recall(ids[0], app: .dev), .recalled, "it can be taken back")
            try expectEqual(try await fixture.retained("#"), [], "then it is gone")
        },
        Case(name: "recalling the retained value leaves none") { fixture in
            try await fixture.send("1", to: "t", retain: .set)
            let ids = try await fixture.send("2", to: "t", retain: .set)
            _ = try await fixture.store.recall(ids[0], app: .dev)
            try expectEqual(try await fixture.retained("t"), [], "not the one before it either")
            try expectEqual(try await fixture.history("t").texts, ["1"], "which is in the history")
        },
        Case(name: "retained values are found by filter, by topic, so many") { fixture in
            for name in ["b", "a/b", "a", "a/c", "a b", "$s", "c/d/e"] { try await fixture.send("x", to: name, retain: .set) }
            try await fixture.send("x", to: "z", retain: .set, app: AppID(2))
            try expectEqual(try await fixture.retained("#"), ["a: x", "a b: x", "a/b: x", "a/c: x", "b: x", "c/d/e: x"], "all")
            try expectEqual(try await fixture.retained("#", limit: 2), ["a: x", "a b: x"], "two")
            try expectEqual(try await fixture.retained("#", limit: 0), [], "none")
            try expectEqual(try await fixture.retained("a/#"), ["a: x", "a/b: x", "a/c: x"], "below a")
            try expectEqual(try await fixture.retained("+/+/e"), ["c/d/e: x"], "by the last level")
            try expectEqual(try await fixture.retained("$s"), ["$s: x"], "by name")
            try expectEqual(try await fixture.retained("#", app: AppID(2)), ["z: x"], "another app's")
        },
        Case(name: "retained values are read in pages") { fixture in
            let names = ["a", "a b", "a/b", "a/c", "a/e\u{301}", "a/\u{e9}", "b"]
            for name in names { try await fixture.send("x", to: name, retain: .set) }
            let weight = try await fixture.store.retained(TopicFilter(topic: "b"), app: .dev, limit: 1, now: fixture.clock.now)[0].message.weight
            for (filter, expected) in [("#", names), ("a/#", names.filter { $0.hasPrefix("a/") || $0 == "a" }), ("b", ["b"])] {
                for (values, bytes) in [(1, Int.max), (2, .max), (9, 1), (9, 3 * weight), (7, .max)] {
                    var request = RetainedRequest(
                        app: .dev, filter: try TopicFilter(parsing: filter, limits: fixture.limits), values: values, bytes: bytes,
                        now: fixture.clock.now)
                    var found: [String] = []
                    for _ in 0...2 * names.count {
                        let slice = try await fixture.store.retained(request)
                        try expectEqual(slice.entries.count <= values, true, "not more than were asked for")
                        try expectEqual(slice.entries.count < 2 || slice.entries.reduce(0) { $0 + $1.message.weight } <= bytes, true, "bytes")
                        found += slice.entries.map(\.topic)
                        guard let reached = slice.reached else { break }
                        let least = found.last ?? request.after ?? ""
                        try expectEqual(reached.utf8.lexicographicallyPrecedes(least.utf8), false, "not before what it returned")
                        request.after = reached
                    }
                    try expectEqual(found, expected, "\(filter), \(values) of \(bytes) bytes")
                }
            }
        },
        Case(name: "topics are there after a stop", reopens: true) { fixture in
            let keep = TopicAppend.Keep(messages: 3, seconds: 600, bytes: 1 << 20)
            let ids = try await fixture.send("1", "2", "3", "4", "5", to: "t/a", keep: keep)
            try await fixture.send("x", "y", to: "t/b", ttl: 7_000, keep: keep)
            try await fixture.send("old", to: "t/c", ttl: 7_000, retain: .set, keep: .init(messages: 9, seconds: 60, bytes: 1 << 20))
            try await fixture.send("live", to: "t/b", ttl: 0)
            _ = try await fixture.store.recall(ids[3], app: .dev)
            fixture.clock.advance(milliseconds: 60_000)
            for round in 0..<3 {
                for start in [TopicStart.earliest, .after(0)] {
                    let slice = try await fixture.history("t/+", start)
                    try expectEqual(slice.texts, ["3", "5", "x", "y"], "round \(round)")
                    try expectEqual(slice.gaps.map(\.topic), start == .earliest ? [] : ["t/a", "t/c"], "round \(round)")
                }
                try expectEqual(try await fixture.history("t/a", .after(0)).gaps.first?.to, 2, "the second is the last that went")
                try expectEqual(try await fixture.retained("#"), ["t/c: old"], "the value")
                try expectEqual(try await fixture.info("t/a").messages, 2, "counted")
                try await fixture.reopen()
            }
            try await fixture.send("6", "7", to: "t/a", keep: keep)
            let slice = try await fixture.history("t/a", .after(0))
            try expectEqual(slice.texts, ["5", "6", "7"], "it goes on")
            try expectEqual(slice.gaps, [fixture.gap("t/a", 0, 3)], "and so does the gap")
        },
    ]
}

import MartletCore
import MartletWire

extension LogStoreContract {
    static let trimCases: [Case] = [
        Case(name: "what is trimmed is not read any more, and is no loss") { fixture in
            try await fixture.send("1", "2", "3", "4", "5", to: "t", retain: .set)
            try await fixture.send("u", to: "u")
            try await fixture.send("x", to: "t", app: AppID(2))
            let offsets = try await fixture.history("t").entries.map(\.message.offset)
            for upTo in [offsets[2], offsets[0], 0] {
                await fixture.trim("t", upTo: upTo)
                for (filter, expected) in [("t", ["4", "5"]), ("+", ["4", "5", "u"]), ("#", ["4", "5", "u"])] {
                    for start in [TopicStart.earliest, .after(0), .after(offsets[1]), .last(5), .time(0)] {
                        let slice = try await fixture.history(filter, start)
                        try expectEqual(slice.texts, expected, "\(filter), \(start), up to \(upTo)")
                        try expectEqual(slice.gaps, [], "\(filter), \(start): no gap")
                    }
                }
                let info = try await fixture.info("t")
                try expectEqual([info.messages, Int(info.first ?? 0), Int(info.last ?? 0)], [2, Int(offsets[3]), Int(offsets[4])], "info")
            }
            await fixture.trim("unknown", upTo: .max)
            try expectEqual(try await fixture.history("t", app: AppID(2)).texts, ["x"], "another app's topic")
            await fixture.trim("t", upTo: .max)
            let slice = try await fixture.history("t", .after(0))
            try expect(slice.entries.isEmpty && slice.gaps.isEmpty, "everything")
            try expectEqual(try await fixture.info("t"), TopicLogInfo(messages: 0, bytes: 0, first: nil, last: nil), "no info")
            try expectEqual(try await fixture.retained("t"), ["t: 5"], "the retained value stays")
            try await fixture.send("6", to: "t")
            try expectEqual(try await fixture.history("t", .after(0)).texts, ["6"], "what comes later is kept")
            try await fixture.send("new", to: "unknown")
            try expectEqual(try await fixture.history("#", .after(0)).texts, ["u", "6", "new"], "in all topics")
        },
        Case(name: "a trim makes room") { fixture in
            let keep = TopicAppend.Keep(messages: 3, seconds: 600, bytes: 1 << 20)
            try await fixture.send("1", "2", "3", to: "t", keep: keep)
            let offsets = try await fixture.history("t").entries.map(\.message.offset)
            await fixture.trim("t", upTo: offsets[1])
            try await fixture.send("4", "5", to: "t", keep: keep)
            var slice = try await fixture.history("t", .after(0))
            try expectEqual(slice.texts, ["3", "4", "5"], "three have room")
            try expectEqual(slice.gaps, [], "nothing was lost")
            try await fixture.send("6", to: "t", keep: keep)
            slice = try await fixture.history("t", .after(0))
            try expectEqual(slice.texts, ["4", "5", "6"], "the limit holds")
            try expectEqual(slice.gaps, [fixture.gap("t", 0, offsets[2])], "and is told")
        },
        Case(name: "what was lost before a trim stays lost") { fixture in
            let keep = TopicAppend.Keep(messages: 3, seconds: 60, bytes: 1 << 20)
            try await fixture.send("1", "2", to: "t", keep: keep)
            let first = try await fixture.history("t").entries.map(\.message.offset)
            try await fixture.send("3", "4", "5", to: "t", keep: keep)
            let offsets = try await fixture.history("t").entries.map(\.message.offset)
            await fixture.trim("t", upTo: offsets[1])
            var slice = try await fixture.history("t", .after(0))
            try expectEqual(slice.texts, ["5"], "one is left")
            try expectEqual(slice.gaps, [fixture.gap("t", 0, first[1])], "the gap is what the limit took")
            fixture.clock.advance(milliseconds: 60_000)
            await fixture.trim("t", upTo: .max)
            slice = try await fixture.history("t", .after(0))
            try expectEqual(slice.texts, [], "none")
            try expectEqual(slice.gaps, [fixture.gap("t", 0, offsets[2])], "the last was too old before the trim")
        },
        Case(name: "trims and appends take effect in the order of the calls") { fixture in
            let keep = TopicAppend.Keep(messages: 2, seconds: 600, bytes: 1 << 20)
            for round in 0..<50 {
                fixture.store.append([fixture.message("\(round)a", to: "t", keep: keep), fixture.message("x", to: "u")]) { _ in }
                fixture.store.trim(TopicKey(app: .dev, name: "t"), upTo: 3)
                fixture.store.trim(TopicKey(app: .dev, name: "t"), upTo: .max)
                fixture.store.trim(TopicKey(app: .dev, name: "t"), upTo: 2)
                fixture.store.append([fixture.message("\(round)b", to: "t", keep: keep)]) { _ in }
            }
            try await fixture.send("end", to: "t", keep: keep)
            let slice = try await fixture.history("t", .after(0))
            try expectEqual(slice.texts, ["49b", "end"], "what came after the last trim")
            try expectEqual(slice.gaps, [], "the limit never took anything")
            try expectEqual(try await fixture.history("u").entries.count, 50, "the other topic has all")
        },
        Case(name: "a trimmed message that is retained can be taken back") { fixture in
            let ids = try await fixture.send("1", "2", to: "t", retain: .set)
            await fixture.trim("t", upTo: .max)
            try expectEqual(try await fixture.retained("#"), ["t: 2"], "retained")
            try expectEqual(try await fixture.store.recall(ids[1], app: .dev), .recalled, "taken back")
            try expectEqual(try await fixture.retained("#"), [], "gone")
            try expectEqual(try await fixture.history("t", .after(0)).texts, [], "not in the history either")
        },
        Case(name: "trims hold after a stop", reopens: true) { fixture in
            let keep = TopicAppend.Keep(messages: 4, seconds: 600, bytes: 1 << 20)
            try await fixture.send("1", "2", "3", "4", to: "t", keep: keep)
            try await fixture.send("kept", to: "u", retain: .set)
            try await fixture.send("u", to: "u")
            let offsets = try await fixture.history("t").entries.map(\.message.offset)
            await fixture.trim("t", upTo: offsets[2])
            await fixture.trim("u", upTo: .max)
            for round in 0..<3 {
                try await fixture.reopen()
                let slice = try await fixture.history("#", .after(0))
                try expectEqual(slice.texts, ["4"], "round \(round)")
                try expectEqual(slice.gaps, [], "round \(round)")
                try expectEqual(try await fixture.info("t").messages, 1, "round \(round)")
                try expectEqual(try await fixture.retained("#"), ["u: kept"], "round \(round)")
            }
            try await fixture.send("5", "6", "7", to: "t", keep: keep)
            await fixture.trim("t", upTo: offsets[3])
            try await fixture.reopen()
            try expectEqual(try await fixture.history("t", .after(0)).texts, ["5", "6", "7"], "trimmed once more")
            try await fixture.send("8", to: "t", keep: keep)
            try expectEqual(try await fixture.history("t", .after(0)).gaps, [], "there was room for it")
        },
    ]
}

extension LogStoreContract.Fixture {
    /// Trims and waits for the commit.
    func trim(_ topic: String, upTo offset: UInt64) async {
        self.store.trim(TopicKey(app: .dev, name: topic), upTo: offset)
        _ = await self.store.save([])
    }
}

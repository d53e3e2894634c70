import MartletCore
import MartletWire

extension LogStoreContract {
    static let collapseCases: [Case] = [
        Case(name: "the newest of a collapse key takes the older one's place in its lane") { fixture in
            try await fixture.publish("old", key: "k")
            try await fixture.publish("between")
            try await fixture.publish("new", key: "k")
            let entries = try await fixture.read().entries
            try expectEqual(Fixture.texts(try await fixture.read()), ["new", "between", "new"], "each place")
            guard case .message(let message) = entries[0].content else {
                throw Violation("the first place holds a message")
            }
            try expect(message.offset > entries[0].offset, "the newer one's offset is after the place's")
            try expectEqual(message.offset, entries[2].offset, "its own place")
        },
        Case(name: "the newest counts once, however many places it takes") { fixture in
            for text in ["1", "2", "3"] { try await fixture.publish(text, key: "k") }
            try await fixture.publish("after")
            let result = try await fixture.store.read(fixture.request(messages: 2))
            try expectEqual(Fixture.texts(result), ["3", "3", "3", "after"], "the places")
            try expectEqual(result.more, [false, false, false], "nothing is left")
        },
        Case(name: "a place is skipped if the newest is in another lane") { fixture in
            try await fixture.publish("old", key: "k")
            try await fixture.publish("new", priority: .high, key: "k")
            try expectEqual(try await fixture.texts(), ["new", "-"], "high first, then the place of the old one")
        },
        Case(name: "a place is skipped if the newest has expired") { fixture in
            try await fixture.publish("old", ttl: 100, key: "k")
            try await fixture.publish("new", ttl: 10, key: "k")
            fixture.clock.advance(milliseconds: 10_000)
            try expectEqual(try await fixture.texts(), ["-"], "the old one does not come back")
        },
        Case(name: "what a recalled message had collapsed stays gone") { fixture in
            try await fixture.publish("old", key: "k")
            let ids = try await fixture.publish("new", key: "k")
            _ = try await fixture.store.recall(ids[0], app: .dev)
            try expectEqual(try await fixture.texts(), ["-"], "the old one does not come back")
        },
        Case(name: "a collapse key is the inbox's own") { fixture in
            try await fixture.publish("alice", key: "k")
            try await fixture.publish("bob", to: [.user("bob", in: .dev)], key: "k")
            try await fixture.publish("phone", to: [.device("phone", in: .dev)], key: "k")
            try await fixture.publish("other key", key: "l")
            try expectEqual(try await fixture.texts(), ["alice", "phone", "other key"], "nothing is replaced")
        },
        Case(name: "keys that only look alike are two") { fixture in
            for round in 0..<2 {
                for key in ["\u{e9}", "e\u{301}"] { try await fixture.publish("\(key.utf8.count) \(round)", key: key) }
            }
            try expectEqual(try await fixture.texts(), ["2 1", "3 1", "2 1", "3 1"], "the newest of each")
            for (index, key) in ["\u{e9}", "e\u{301}"].enumerated() {
                let outcomes = await fixture.store.append([fixture.keyed("x", key: key, digest: [UInt8(index)])])
                try expectEqual(outcomes == [.conflict], false, "of idempotency, too")
            }
        },
        Case(name: "superseded names, for each target, the message that had the key before") { fixture in
            try await fixture.publish("1", key: "k")
            try await fixture.publish("2", to: [.everyone(in: .dev), .user("alice", in: .dev)], key: "k")
            try await fixture.publish(
                "3", to: [.user("alice", in: .dev), .everyone(in: .dev), .user("bob", in: .dev)], key: "k")
            var offsets: [UInt64] = []
            var superseded: [[UInt64?]] = []
            for case .stored(let message, _, let before) in fixture.commits {
                offsets.append(message.offset)
                superseded.append(before)
            }
            try expectEqual(superseded, [[nil], [nil, offsets[0]], [offsets[1], offsets[1], nil]], "by target")
        },
        Case(name: "messages of one call collapse in their order") { fixture in
            try await fixture.publish("1", "2", "3", key: "k")
            try expectEqual(try await fixture.texts(), ["3", "3", "3"], "the last of the call wins")
        },
        Case(name: "a live-only message has a status, an offset and an announcement, and is never read") { fixture in
            try await fixture.open()
            let ids = try await fixture.publish("live", ttl: 0)
            try await fixture.publish("kept")
            guard case .stored(let message, _, _)? = fixture.commits.first else { throw Violation("it is announced") }
            try expect(message.liveOnly, "it says that it is live-only")
            try expect(fixture.store.end > message.offset, "it has an offset")
            try expectEqual(try await fixture.texts(), ["kept"], "what is read")
            try expectEqual(try await fixture.status(ids[0]).id, ids[0], "it has a status")
        },
    ]
}

import MartletCore
import MartletWire

extension LogStoreContract {
    static let readCases: [Case] = [
        Case(name: "a reading merges the device's three inboxes, by priority, then by offset") { fixture in
            try await fixture.publish("low", priority: .low)
            try await fixture.publish("m1", to: [.everyone(in: .dev)])
            try await fixture.publish("h1", to: [.device("phone", in: .dev)], priority: .high)
            try await fixture.publish("m2")
            try await fixture.publish("bob's", to: [.user("bob", in: .dev)])
            try await fixture.publish("tablet's", to: [.device("tablet", in: .dev)])
            try await fixture.publish("h2", priority: .high)
            let result = try await fixture.read()
            try expectEqual(Fixture.texts(result), ["h1", "h2", "m1", "m2", "low"], "the order")
            try expectEqual(
                result.entries.map(\.lane),
                [
                    Lane(.device, .high), Lane(.user, .high), Lane(.app, .medium), Lane(.user, .medium),
                    Lane(.user, .low),
                ],
                "the lanes")
            try expectEqual(result.end, fixture.store.end, "the end")
            try expectEqual(result.more, [false, false, false], "nothing more")
            try expectEqual(result.gaps, [], "no gaps")
        },
        Case(name: "names that Unicode calls equivalent are two names") { fixture in
            let (one, two) = ("caf\u{e9}", "cafe\u{301}")
            try await fixture.publish("one", to: [.user(one, in: .dev)])
            try await fixture.publish("two", to: [.user(two, in: .dev)])
            let read = { (user: String) in Fixture.texts(try await fixture.store.read(fixture.request(user: user))) }
            try expectEqual(try await read(one), ["one"], "the one's")
            try expectEqual(try await read(two), ["two"], "the other's")
        },
        Case(name: "inboxes of another app, and of a scope with the same name, are others") { fixture in
            let two = AppID(2)
            let request = AppendRequest(app: two, targets: [.user("alice", in: two)], members: Fixture.members("two"))
            _ = await fixture.store.append([request])
            try await fixture.publish("device alice", to: [.device("alice", in: .dev)])
            try expectEqual(try await fixture.texts(), [], "nothing of Alice's")
            let other = try await fixture.store.read(fixture.request(app: two))
            try expectEqual(Fixture.texts(other), ["two"], "the other app's Alice")
        },
        Case(name: "a reader without user or device reads what it has") { fixture in
            try await fixture.publish("user")
            try await fixture.publish("device", to: [.device("phone", in: .dev)])
            try await fixture.publish("app", to: [.everyone(in: .dev)])
            try expectEqual(try await fixture.texts(user: nil, device: nil), ["app"], "only the app's")
            try expectEqual(try await fixture.texts(user: nil), ["device", "app"], "without a user")
            try expectEqual(try await fixture.texts(device: nil), ["user", "app"], "without a device")
        },
        Case(name: "positions count lane by lane") { fixture in
            try await fixture.publish("m1", "m2")
            try await fixture.publish("h1", "h2", priority: .high)
            let entries = try await fixture.read().entries
            let after = Positions([Lane(.user, .high): entries[0].offset, Lane(.user, .medium): entries[3].offset])
            try expectEqual(try await fixture.texts(after: after), ["h2"], "what is after them")
            try expectEqual(
                try await fixture.texts(after: Positions(all: fixture.store.end)), [], "nothing after the end")
        },
        Case(name: "one message to two inboxes of a device has one offset in both lanes") { fixture in
            try await fixture.publish("x", to: [.user("alice", in: .dev), .device("phone", in: .dev)])
            let entries = try await fixture.read().entries
            try expectEqual(Set(entries.map(\.lane)), [Lane(.user, .medium), Lane(.device, .medium)], "both lanes")
            try expectEqual(Set(entries.map(\.offset)).count, 1, "one offset")
        },
        Case(name: "expired messages are left out, from their millisecond on") { fixture in
            try await fixture.publish("short", ttl: 1)
            try await fixture.publish("long", ttl: 100)
            fixture.clock.advance(milliseconds: 999)
            try expectEqual(try await fixture.texts(), ["short", "long"], "before")
            fixture.clock.advance(milliseconds: 1)
            try expectEqual(try await fixture.texts(), ["long"], "after")
        },
        Case(name: "the number of messages is limited, and more says so") { fixture in
            try await fixture.publish("1", "2", "3")
            let result = try await fixture.store.read(fixture.request(messages: 2))
            try expectEqual(Fixture.texts(result), ["1", "2"], "the first two")
            try expectEqual(result.more, [false, true, false], "more")
            let exact = try await fixture.store.read(fixture.request(messages: 3))
            try expectEqual(exact.more, [false, false, false], "no more when all fit")
        },
        Case(name: "nothing less urgent is returned while something more urgent is left over") { fixture in
            try await fixture.publish("l1", priority: .low)
            try await fixture.publish("m1")
            try await fixture.publish("h1", "h2", priority: .high)
            let result = try await fixture.store.read(fixture.request(messages: 1))
            try expectEqual(Fixture.texts(result), ["h1"], "one high")
            try expectEqual(result.more, [true, true, true], "more of each")
            let low = try await fixture.store.read(fixture.request(messages: 4, mediumAndLow: 0))
            try expectEqual(Fixture.texts(low), ["h1", "h2"], "no room for medium")
            try expectEqual(low.more, [false, true, true], "so no low either")
        },
        Case(name: "medium and low have a part of the messages, low a part of that") { fixture in
            try await fixture.publish("l1", "l2", "l3", priority: .low)
            try await fixture.publish("m1")
            try await fixture.publish("h1", priority: .high)
            let result = try await fixture.store.read(fixture.request(messages: 4, mediumAndLow: 3, low: 1))
            try expectEqual(Fixture.texts(result), ["h1", "m1", "l1"], "one low")
            try expectEqual(result.more, [false, false, true], "more low")
            let two = try await fixture.store.read(fixture.request(messages: 4, mediumAndLow: 2, low: 2))
            try expectEqual(Fixture.texts(two), ["h1", "m1", "l1"], "medium and low together")
        },
        Case(name: "bytes are limited like messages") { fixture in
            try await fixture.publish("1", "2", "3")
            guard case .stored(let message, _, _)? = fixture.commits.first else {
                throw Violation("nothing was announced")
            }
            let weight = message.weight
            let two = try await fixture.store.read(fixture.request(bytes: weight * 2))
            try expectEqual(Fixture.texts(two), ["1", "2"], "two fit")
            try expectEqual(two.more, [false, true, false], "more")
            let share = try await fixture.store.read(fixture.request(bytes: weight * 3, mediumAndLowBytes: weight))
            try expectEqual(Fixture.texts(share), ["1"], "their part holds one")
            let low = try await fixture.publish("l", priority: .low)
            try expectEqual(low.count, 1, "stored")
            let none = try await fixture.store.read(fixture.request(bytes: weight * 9, lowBytes: weight - 1))
            try expectEqual(Fixture.texts(none), ["1", "2", "3"], "low has no room")
            try expectEqual(none.more, [false, false, true], "and is left over")
        },
        Case(name: "the first message may be larger than its bytes if the reading says so") { fixture in
            try await fixture.publish("1", "2")
            let none = try await fixture.store.read(fixture.request(bytes: 10))
            try expectEqual(Fixture.texts(none), [], "not without")
            try expectEqual(none.more, [false, true, false], "it is left over")
            let one = try await fixture.store.read(fixture.request(bytes: 10, oversizeFirst: true))
            try expectEqual(Fixture.texts(one), ["1"], "only the first")
            try expectEqual(one.more, [false, true, false], "the second is left over")
            let count = try await fixture.store.read(fixture.request(messages: 0, bytes: 10, oversizeFirst: true))
            try expectEqual(Fixture.texts(count), [], "messages are limited all the same")
        },
        Case(name: "reading on in small steps sees everything once, in order") { fixture in
            let priorities: [Priority] = [.low, .medium, .high]
            let scopes: [InboxKey] = [.user("alice", in: .dev), .device("phone", in: .dev), .everyone(in: .dev)]
            for number in 0..<300 {
                try await fixture.publish(
                    String(number), to: [scopes[number % 3]], priority: priorities[number / 3 % 3])
            }
            var after = Positions()
            var seen: [LogEntry] = []
            while true {
                let result = try await fixture.store.read(fixture.request(after: after, messages: 7))
                for entry in result.entries { after.advance(entry.lane, to: entry.offset) }
                seen += result.entries
                if result.entries.isEmpty { break }
            }
            try expectEqual(seen.count, 300, "all")
            for lane in Lane.all {
                let offsets = seen.filter { $0.lane == lane }.map(\.offset)
                try expect(zip(offsets, offsets.dropFirst()).allSatisfy { $0 < $1 }, "lane \(lane.index) is in order")
            }
            try expectEqual(
                seen.map(\.lane.priority), seen.map(\.lane.priority).sorted(), "high before medium before low")
        },
        Case(name: "readings while messages are appended miss none up to their end") { fixture in
            let total = 2_000
            let store = fixture.store
            async let appended: Void = {
                for number in 0..<total {
                    let request = AppendRequest(
                        app: .dev, targets: [.user("alice", in: .dev)], members: Fixture.members(String(number)))
                    _ = await store.append([request])
                }
            }()
            var after = Positions()
            var seen: [String] = []
            while seen.count < total {
                let result = try await store.read(fixture.request(after: after, messages: total))
                seen += Fixture.texts(result)
                try expect(result.entries.allSatisfy { $0.offset <= result.end }, "nothing is beyond the end")
                // With more to come, the snapshot's end is not reached yet.
                let isPart = result.more.contains(true)
                after = Positions(all: isPart ? result.entries.last?.offset ?? result.end : result.end)
                await Task.yield()
            }
            await appended
            try expectEqual(seen, (0..<total).map(String.init), "each once, in order")
        },
    ]
}

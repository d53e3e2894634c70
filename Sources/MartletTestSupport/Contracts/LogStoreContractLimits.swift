import MartletCore
import MartletWire

extension LogStoreContract {
    private static func limits(_ change: (inout Limits) -> Void) -> Limits {
        var limits = Limits()
        change(&limits)
        return limits
    }

    static let limitCases: [Case] = [
        Case(
            name: "a full inbox loses the oldest of its lowest lane, and says so",
            limits: limits { $0.inboxMessages = 4 }
        ) { fixture in
            try await fixture.publish("l1", "l2", priority: .low)
            try await fixture.publish("m1", "m2")
            let lows = try await fixture.read().entries.filter { $0.lane.priority == .low }.map(\.offset)
            try await fixture.publish("h1", priority: .high)
            let one = try await fixture.read()
            try expectEqual(Fixture.texts(one), ["h1", "m1", "m2", "l2"], "the oldest low is gone")
            try expectEqual(one.gaps, [LogGap(lane: Lane(.user, .low), from: 0, to: lows[0])], "the gap")
            try await fixture.publish("h2", "h3", priority: .high)
            let three = try await fixture.read(after: Positions([Lane(.user, .low): lows[0]]))
            try expectEqual(Fixture.texts(three), ["h1", "h2", "h3", "m2"], "then the oldest medium")
            try expectEqual(
                Set(three.gaps.map(\.lane)), [Lane(.user, .low), Lane(.user, .medium)], "a gap in both lanes")
            let past = try await fixture.read(after: Positions(all: fixture.store.end))
            try expectEqual(past.gaps, [], "no gap for who is past it")
        },
        Case(name: "an inbox is limited in bytes too", limits: limits { $0.inboxBytes = 400 }) { fixture in
            for number in 0..<20 { try await fixture.publish(String(number)) }
            let result = try await fixture.read()
            var bytes = 0
            for case .message(let message) in result.entries.map(\.content) { bytes += message.weight }
            try expect(bytes <= 400 && bytes > 200, "what is left fits: \(bytes) bytes")
            try expectEqual(Fixture.texts(result).last, "19", "the newest stays")
            try expectEqual(result.gaps.count, 1, "a gap")
        },
        Case(name: "one full inbox takes nothing from another", limits: limits { $0.inboxMessages = 2 }) { fixture in
            try await fixture.publish("bob's", to: [.user("bob", in: .dev)])
            try await fixture.publish("both", to: [.user("alice", in: .dev), .everyone(in: .dev)])
            try await fixture.publish("1", "2")
            try expectEqual(
                try await fixture.texts(user: "bob", device: nil), ["bob's", "both"], "Bob's and everyone's")
            try expectEqual(try await fixture.texts(device: nil), ["both", "1", "2"], "Alice keeps everyone's")
            try expectEqual(try await fixture.read(device: nil).gaps.map(\.lane), [Lane(.user, .medium)], "her gap")
        },
        Case(name: "what has expired does not fill an inbox", limits: limits { $0.inboxMessages = 3 }) { fixture in
            try await fixture.publish("1", "2", "3", ttl: 1)
            fixture.clock.advance(milliseconds: 1_000)
            try await fixture.publish("4", "5", "6", ttl: 100)
            let result = try await fixture.read()
            try expectEqual(Fixture.texts(result), ["4", "5", "6"], "all three fit")
        },
        Case(name: "what the inbox limit took is failed in the status", limits: limits { $0.inboxMessages = 1 }) {
            fixture in
            try await fixture.open()
            let ids = try await fixture.publish("1", "2")
            try expectEqual(try await fixture.state(ids[0]), .inboxFull, "the first")
            try expectEqual(try await fixture.state(ids[1]), .queued, "the second")
        },
        Case(name: "a user has at most so many devices", limits: limits { $0.devicesPerUser = 2 }) { fixture in
            try await fixture.open("a")
            try await fixture.open("b")
            do {
                try await fixture.open("c")
                throw Violation("a third device was let in")
            } catch let error as StoreError {
                try expectEqual(error.reason, .tooManyDevices, "the reason")
            }
            try await fixture.open("a")
            try await fixture.open("c", user: "bob")
            try await fixture.open("b", user: nil)
            try await fixture.open("d")
            try await fixture.open("e", user: nil)
        },
        Case(
            name: "an app's oldest idempotency keys give way to its newest",
            limits: limits { $0.idempotencyEntries = 3 }
        ) { fixture in
            let bob = try await fixture.publishKeyed("k0", app: AppID(2))
            var ids: [MessageID] = []
            for number in 0..<5 {
                fixture.clock.advance(milliseconds: 1)
                ids.append(try await fixture.publishKeyed("k\(number)"))
            }
            for number in 2..<5 {
                try expectEqual(try await fixture.publishKeyed("k\(number)"), ids[number], "k\(number) is known")
            }
            try expectEqual(try await fixture.publishKeyed("k0", app: AppID(2)), bob, "another app's is its own")
            fixture.clock.advance(milliseconds: 1)
            try expect(try await fixture.publishKeyed("k1") != ids[1], "k1 was forgotten")
            try expect(try await fixture.publishKeyed("k2") != ids[2], "k2 gave way to k1")
        },
        Case(
            name: "a device inbox does not fill up with what the device has acked",
            limits: limits { $0.inboxMessages = 2 }
        ) { fixture in
            try await fixture.open()
            let lane = Lane(.device, .medium)
            for number in 0..<10 {
                try await fixture.publish(String(number), to: [.device("phone", in: .dev)])
                let after = try await fixture.open().acked
                let result = try await fixture.read(after: after)
                try expectEqual(Fixture.texts(result), [String(number)], "the new one")
                try expectEqual(result.gaps, [], "no gap")
                fixture.record(acked: Positions([lane: fixture.store.end]), sent: Positions([lane: fixture.store.end]))
            }
        },
    ]
}

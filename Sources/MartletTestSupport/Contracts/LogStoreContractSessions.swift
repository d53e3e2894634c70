import MartletCore
import MartletWire

extension LogStoreContract {
    static let sessionCases: [Case] = [
        Case(name: "a session's record is changed part by part") { fixture in
            try expectEqual(try await fixture.sessions(), [], "none at first")
            try await fixture.save("a", [1], [2])
            try await fixture.save("b", nil, [3, 0, 255])
            try await fixture.save("c", [4], nil)
            try await fixture.save("d", nil, nil)
            try expectEqual(try await fixture.sessions(), ["a [1] [2]", "b [] [3, 0, 255]", "c [4] []", "d [] []"], "four")
            try await fixture.save("a", nil, [5])
            try await fixture.save("b", [6], nil)
            try await fixture.save("c", [], [7])
            try await fixture.save("d", nil, nil)
            try expectEqual(try await fixture.sessions(), ["a [1] [5]", "b [6] [3, 0, 255]", "c [] [7]", "d [] []"], "changed")
            for name in ["b", "d", "unknown"] { try await fixture.delete(name) }
            try expectEqual(try await fixture.sessions(), ["a [1] [5]", "c [] [7]"], "two are gone")
            try await fixture.save("b", nil, [8])
            try expectEqual(try await fixture.sessions(), ["a [1] [5]", "b [] [8]", "c [] [7]"], "one is new")
            try expectEqual(await fixture.store.save([]), nil, "no change")
        },
        Case(name: "records are told apart by app and by each byte of the name") { fixture in
            let keys = [
                DeviceKey(app: .dev, name: "é"), DeviceKey(app: .dev, name: "e\u{301}"), DeviceKey(app: .dev, name: "E"),
                DeviceKey(app: .dev, name: ""), DeviceKey(app: AppID(77), name: "é"), DeviceKey(app: AppID(77), name: "group/x"),
            ]
            let saves = keys.enumerated().map { SessionSave(key: $1, change: .set(settings: [UInt8($0)], state: nil)) }
            try expectEqual(await fixture.store.save(saves), nil, "saved")
            let rows = try await fixture.store.loadSessions()
            try expectEqual(rows.count, keys.count, "as many")
            for (index, key) in keys.enumerated() {
                try expectEqual(rows.first { $0.key == key }?.settings, [UInt8(index)], "\(key)")
            }
            try expectEqual(await fixture.store.save([SessionSave(key: keys[0], change: .delete)]), nil, "deleted")
            try expectEqual(try await fixture.store.loadSessions().count, keys.count - 1, "one")
        },
        Case(name: "changes of one record take effect in the order of the calls, without waiting for answers") { fixture in
            for number in 0..<598 {
                let bytes = [UInt8(number >> 8), UInt8(number & 255)]
                let change: SessionSave.Change =
                    switch number % 7 {
                    case 0..<3: .set(settings: bytes, state: nil)
                    case 3: .delete
                    default: .set(settings: nil, state: bytes)
                    }
                fixture.store.save([SessionSave(key: fixture.session("x"), change: change)]) { _ in }
                fixture.store.append([fixture.message("\(number)", to: "t", save: fixture.saving("x\(number % 5)", nil, bytes))]) { _ in }
            }
            // 591 deletes it; then come states up to 594, and settings up to 597.
            try expectEqual(
                try await fixture.sessions(),
                ["x [2, 85] [2, 82]"] + (593..<598).map { "x\($0 % 5) [] [2, \($0 & 255)]" }.sorted(), "a load sees what was asked for before it")
        },
        Case(name: "what one call holds is done in its order") { fixture in
            let key = fixture.session("x")
            for (changes, expected) in [
                ([.set(settings: [1], state: [2]), .set(settings: nil, state: [3])], ["x [1] [3]"]),
                ([.delete, .set(settings: nil, state: [4])], ["x [] [4]"]),
                ([.set(settings: [5], state: nil), .delete], []),
                ([.set(settings: [6], state: nil), .set(settings: nil, state: [7]), .set(settings: [8], state: nil)], ["x [8] [7]"]),
                ([.delete, .set(settings: nil, state: nil)], ["x [] []"]),
            ] as [([SessionSave.Change], [String])] {
                try expectEqual(await fixture.store.save(changes.map { SessionSave(key: key, change: $0) }), nil, "saved")
                try expectEqual(try await fixture.sessions(), expected, "\(changes)")
            }
        },
        Case(name: "a change that comes with a message is written with it") { fixture in
            var inbox = AppendRequest(app: .dev, targets: [.user("alice", in: .dev)], members: Fixture.members("m"))
            inbox.save = fixture.saving("inbox", [1], nil)
            let requests = [
                inbox, fixture.message("1", to: "t", save: fixture.saving("topic", nil, [1])),
                fixture.message("2", to: "t", save: fixture.saving("topic", nil, [2])),
                fixture.message("3", to: "t", ttl: 0, save: fixture.saving("live", nil, [3])),
            ]
            for outcome in await fixture.store.append(requests) {
                guard case .stored = outcome else { throw Violation("append said \(outcome)") }
            }
            try expectEqual(try await fixture.sessions(), ["inbox [1] []", "live [] [3]", "topic [] [2]"], "each in its order")
        },
        Case(name: "a repeat writes its change, a conflict does not") { fixture in
            func send(_ digest: UInt8, _ state: UInt8) async throws -> AppendOutcome? {
                var request = fixture.message("once", to: "t", save: fixture.saving("x", nil, [state]))
                request.idempotency = .init(key: "k", digest: [digest])
                return await fixture.store.append([request]).first
            }
            guard case .stored(let id, repeated: false)? = try await send(1, 1) else { throw Violation("not stored") }
            try expectEqual(try await send(1, 2), .stored(id, repeated: true), "a repeat")
            try expectEqual(try await fixture.sessions(), ["x [] [2]"], "its change is written")
            try expectEqual(try await send(2, 3), .conflict, "a conflict")
            try expectEqual(try await fixture.sessions(), ["x [] [2]"], "nothing is")
            try expectEqual(try await fixture.history("t").texts, ["once"], "one message")
        },
        Case(name: "records are there after a stop", reopens: true) { fixture in
            try await fixture.save("a", [1], [2])
            try await fixture.save("gone", [1], [2])
            try await fixture.reopen()
            try expectEqual(try await fixture.sessions(), ["a [1] [2]", "gone [1] [2]"], "two")
            try await fixture.save("a", nil, [3])
            try await fixture.delete("gone")
            try await fixture.reopen()
            try expectEqual(try await fixture.sessions(), ["a [1] [3]"], "one")
            try expectEqual(await fixture.store.stop(), nil, "stopped")
            try expectEqual(await fixture.store.save([fixture.saving("b", [1], nil)])?.reason, .stopped, "nothing is saved any more")
        },
    ]

    static let marksCases: [Case] = [
        Case(name: "a message carries its marks wherever it is read", reopens: true) { fixture in
            let values: [UInt64] = [0, 1, 0xff_ffff_ff1f, 1 << 63, .max, 0]
            for (index, value) in values.enumerated() {
                var request = fixture.message("\(index)", to: "t/\(index)", retain: .set)
                request.marks = MessageMarks(rawValue: value)
                var inbox = AppendRequest(app: .dev, targets: [.user("alice", in: .dev)], members: Fixture.members("\(index)"))
                inbox.marks = request.marks
                inbox.collapseKey = index > 3 ? "k" : nil
                for case .failed(let error) in await fixture.store.append([request, inbox]) { throw error }
            }
            var announced: [UInt64] = []
            for case .published(let message, _) in fixture.commits { announced.append(message.marks.rawValue) }
            try expectEqual(announced, values, "announced")
            for round in 0..<3 {
                for filter in ["#", "t/+"] {
                    try expectEqual(try await fixture.history(filter).entries.map(\.message.marks.rawValue), values, "\(filter), round \(round)")
                }
                let one = try await fixture.history("t/2").entries.map(\.message.marks.rawValue)
                try expectEqual(one, [values[2]], "one topic, round \(round)")
                let retained = try await fixture.store.retained(
                    TopicFilter(parsing: "#", limits: fixture.limits), app: .dev, limit: 9, now: fixture.clock.now)
                try expectEqual(retained.map(\.message.marks.rawValue), values, "retained, round \(round)")
                let inbox = try await fixture.read().entries.map { entry -> UInt64? in
                    if case .message(let message) = entry.content { message.marks.rawValue } else { nil }
                }
                try expectEqual(inbox, [0, 1, 0xff_ffff_ff1f, 1 << 63, 0, 0], "the newest of a key for both, round \(round)")
                try await fixture.reopen()
            }
        }
    ]
}

extension LogStoreContract.Fixture {
    func session(_ name: String) -> DeviceKey { DeviceKey(app: .dev, name: name) }

    func saving(_ name: String, _ settings: [UInt8]?, _ state: [UInt8]?) -> SessionSave {
        SessionSave(key: self.session(name), change: .set(settings: settings, state: state))
    }

    func save(_ name: String, _ settings: [UInt8]?, _ state: [UInt8]?) async throws {
        if let error = await self.store.save([self.saving(name, settings, state)]) { throw error }
    }

    func delete(_ name: String) async throws {
        if let error = await self.store.save([SessionSave(key: self.session(name), change: .delete)]) { throw error }
    }

    /// `name [settings] [state]` of each, by name.
    func sessions() async throws -> [String] {
        try await self.store.loadSessions().map { "\($0.key.name) \($0.settings) \($0.state)" }.sorted()
    }

    func message(_ text: String, to topic: String, ttl: Int = 1_800, save: SessionSave) -> AppendRequest {
        var request = self.message(text, to: topic, ttl: ttl)
        request.save = save
        return request
    }
}

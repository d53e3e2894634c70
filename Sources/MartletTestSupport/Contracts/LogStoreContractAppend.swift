import MartletCore
import MartletWire

extension LogStoreContract {
    static let appendCases: [Case] = [
        Case(name: "ids and offsets grow in commit order, even if the wall clock steps back") { fixture in
            let first = try await fixture.publish("a", "b")
            fixture.clock.stepWall(milliseconds: -60_000)
            let second = try await fixture.publish("c", "d", to: [.user("bob", in: .dev)])
            let ids = first + second
            for (one, next) in zip(ids, ids.dropFirst()) { try expect(one < next, "ids must grow: \(one), \(next)") }
            let offsets = fixture.commits.map { commit -> UInt64 in
                if case .stored(let message, _, _) = commit { message.offset } else { 0 }
            }
            try expectEqual(offsets.count, 4, "each commit is announced once")
            for (one, next) in zip(offsets, offsets.dropFirst()) {
                try expect(one < next, "offsets must grow: \(offsets)")
            }
            try expect(offsets[0] > 0, "0 is before the first")
            try expectEqual(fixture.store.end, offsets[3], "end is the newest announced offset")
        },
        Case(name: "many ids of one millisecond stay distinct and ordered") { fixture in
            let requests = (0..<10_000).map {
                AppendRequest(app: .dev, targets: [.user("alice", in: .dev)], members: Fixture.members(String($0)))
            }
            var ids: [MessageID] = []
            for case .stored(let id, _) in await fixture.store.append(requests) { ids.append(id) }
            try expectEqual(ids.count, 10_000, "all are stored")
            try expect(zip(ids, ids.dropFirst()).allSatisfy { $0 < $1 }, "ids grow strictly")
        },
        Case(name: "a commit is announced before its completion, as it was stored") { fixture in
            let targets: [InboxKey] = [.user("alice", in: .dev), .everyone(in: .dev)]
            let request = AppendRequest(
                app: .dev, targets: targets, priority: .high, ttl: 60, collapseKey: "k", members: Fixture.members("x"))
            let (outcomes, announced) = await withCheckedContinuation { waiting in
                fixture.store.append([request]) { outcomes in waiting.resume(returning: (outcomes, fixture.commits)) }
            }
            guard case .stored(let id, repeated: false)? = outcomes.first, outcomes.count == 1 else {
                throw Violation("append said \(outcomes)")
            }
            guard case .stored(let message, let told, let superseded)? = announced.first, announced.count == 1 else {
                throw Violation("announced: \(announced)")
            }
            try expectEqual(message.id, id, "the id")
            try expectEqual(told, targets, "the targets")
            try expectEqual(superseded, [nil, nil], "nothing was superseded")
            try expectEqual(message.priority, .high, "the priority")
            try expectEqual(message.expiresAt, fixture.clock.now + 60_000, "the expiry")
            try expectEqual(message.at, fixture.clock.wall, "the time")
            try expectEqual(message.collapseKey, "k", "the collapse key")
            try expectEqual(
                message.fragment, StoredMessage.fragment(id: id, at: message.at, members: Fixture.members("x")),
                "the fragment")
        },
        Case(name: "a call's messages are in order, and a later call's after them") { fixture in
            try await fixture.publish("a", "b", "c")
            try await fixture.publish("d")
            try expectEqual(try await fixture.texts(), ["a", "b", "c", "d"], "the order")
        },
        Case(name: "an empty call completes") { fixture in
            try expectEqual(await fixture.store.append([]), [], "no outcomes")
        },
        Case(name: "an idempotency key yields one message and the same answer") { fixture in
            let request = fixture.keyed("a", key: "k", digest: [1])
            let outcomes = await fixture.store.append([request, request])
            guard case .stored(let id, repeated: false) = outcomes[0] else { throw Violation("first: \(outcomes)") }
            try expectEqual(outcomes[1], .stored(id, repeated: true), "the repeat within the call")
            try expectEqual(await fixture.store.append([request]), [.stored(id, repeated: true)], "the repeat later")
            try expectEqual(
                await fixture.store.append([fixture.keyed("b", key: "k", digest: [2])]), [.conflict], "another digest")
            try expectEqual(try await fixture.texts(), ["a"], "one message")
            try expectEqual(fixture.commits.count, 1, "announced once")
        },
        Case(name: "an idempotency key is the app's own, and forgotten after its time") { fixture in
            let request = fixture.keyed("a", key: "k", digest: [1])
            let other = AppendRequest(
                app: AppID(2), targets: [.user("alice", in: AppID(2))], idempotency: .init(key: "k", digest: [9]),
                members: Fixture.members("other"))
            let outcomes = await fixture.store.append([request, other])
            guard case .stored(let first, repeated: false) = outcomes[0], case .stored(_, repeated: false) = outcomes[1]
            else {
                throw Violation("both are new: \(outcomes)")
            }
            fixture.clock.advance(milliseconds: Int64(fixture.limits.idempotencySeconds) * 1_000 - 1)
            try expectEqual(
                await fixture.store.append([request]), [.stored(first, repeated: true)], "just within its time")
            fixture.clock.advance(milliseconds: 2)
            guard case .stored(let second, repeated: false)? = await fixture.store.append([request]).first else {
                throw Violation("after its time the key is new")
            }
            try expect(first < second, "another message")
        },
        Case(name: "a recalled message is not read, announced once, and recalling again changes nothing") { fixture in
            let ids = try await fixture.publish("a", "b")
            try expectEqual(try await fixture.store.recall(ids[0], app: .dev), .recalled, "the first recall")
            try expectEqual(try await fixture.store.recall(ids[0], app: .dev), .recalled, "the second recall")
            try expectEqual(try await fixture.texts(), ["b"], "what is left")
            let recalls = fixture.commits.compactMap { commit -> (UInt64, [InboxKey])? in
                if case .recalled(let offset, let targets) = commit { (offset, targets) } else { nil }
            }
            try expectEqual(recalls.count, 1, "announced once")
            try expectEqual(recalls.first?.1, [.user("alice", in: .dev)], "to the message's targets")
        },
        Case(name: "recall knows other apps', unknown and expired messages") { fixture in
            let ids = try await fixture.publish("a", ttl: 10)
            try expectEqual(try await fixture.store.recall(ids[0], app: AppID(2)), nil, "another app's message")
            let unknown = MessageID(milliseconds: fixture.clock.wall, counter: 7, random: 42)
            try expectEqual(try await fixture.store.recall(unknown, app: .dev), nil, "an unknown message")
            let near = MessageID(high: ids[0].high, low: ids[0].low ^ 1)
            try expectEqual(try await fixture.store.recall(near, app: .dev), nil, "an id that differs in one bit")
            fixture.clock.advance(milliseconds: 10_000)
            try expectEqual(try await fixture.store.recall(ids[0], app: .dev), .expired, "an expired message")
        },
        Case(name: "calls after stop are refused") { fixture in
            _ = await fixture.store.stop()
            let outcomes = await fixture.store.append([fixture.keyed("a", key: "k", digest: [1])])
            guard case .failed(let error)? = outcomes.first else { throw Violation("append after stop: \(outcomes)") }
            try expectEqual(error.reason, .stopped, "the reason")
        },
    ]
}

extension LogStoreContract.Fixture {
    /// Publishes under an idempotency key; returns the id, whether it is new or known.
    func publishKeyed(_ key: String, app: AppID = .dev) async throws -> MessageID {
        let request = AppendRequest(
            app: app, targets: [.user("alice", in: app)], idempotency: .init(key: key, digest: [1]),
            members: Self.members(key))
        let outcomes = await self.store.append([request])
        guard case .stored(let id, _)? = outcomes.first else { throw LogStoreContract.Violation("append said \(outcomes)") }
        return id
    }

    func keyed(_ text: String, key: String, digest: [UInt8]) -> AppendRequest {
        AppendRequest(
            app: .dev, targets: [.user("alice", in: .dev)], idempotency: .init(key: key, digest: digest),
            members: Self.members(text))
    }
}

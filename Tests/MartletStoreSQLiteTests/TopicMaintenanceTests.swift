import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire
import Testing

/// What topics keep no longer leaves the file, and so do topics of which nothing is left.
@Suite struct TopicMaintenanceTests {
    let folder = TemporaryFolder()
    let clock = ContractClock()

    func open(_ limits: Limits = Limits(), change: (inout SQLiteStoreConfiguration) -> Void = { _ in }) throws -> SQLiteStore {
        let store = try openStore(self.folder, clock: self.clock, limits: limits, change: change)
        store.observe { _ in }
        return store
    }

    /// Rows of `message`, `body`, `topic_entry` and `expiry`.
    func rows() -> [Int64?] { ["message", "body", "topic_entry", "expiry"].map(self.count) }

    func count(_ table: String) -> Int64? { self.folder.integer("SELECT count(*) FROM \(table)") }

    /// What one pass schedules the next one does.
    func settleAll(_ store: SQLiteStore) async {
        for _ in 0..<4 { #expect(await settle(store) == nil) }
    }

    @Test func whatIsKeptNoLongerIsDeleted() async throws {
        let store = try self.open()
        for round in 0..<4 {
            for number in 0..<50 {
                let keep = TopicAppend.Keep(messages: 10, seconds: 600, bytes: 1 << 20)
                _ = await store.append((0..<5).map { topicRequest("\(round)-\(number)", to: "t\($0)", keep: keep) })
            }
            // Once before anything was indexed, then after.
            await self.settleAll(store)
            #expect(self.rows() == [50, 50, 50, 50], "round \(round)")
            #expect(store.gauges.messages == 50)
        }
        #expect(self.count("topic") == 5)
        let keep = TopicAppend.Keep(messages: 10, seconds: 600, bytes: 1 << 20)
        self.clock.advance(milliseconds: 600_000)
        _ = await store.append([topicRequest("new", to: "t0", keep: keep)])
        await self.settleAll(store)
        #expect(self.rows() == [1, 1, 1, 1], "all others were too old")
        self.clock.advance(milliseconds: 1_200_000)
        await self.settleAll(store)
        #expect(self.rows() == [1, 0, 0, 1], "the newest row stays so that offsets go on")
        #expect(store.gauges.messages == 0)
        #expect(await store.stop() == nil)
    }

    @Test func liveOnlyRowsGoSoon() async throws {
        let store = try self.open()
        _ = await store.append((0..<100).map { topicRequest("\($0)", to: "t\($0)", ttl: 0) } + [request("inbox")])
        await self.settleAll(store)
        #expect(self.count("message") == 101)
        self.clock.advance(milliseconds: 60_000)
        await self.settleAll(store)
        #expect(self.count("message") == 1)
        self.clock.advance(milliseconds: 60_000)
        await self.settleAll(store)
        #expect(self.count("topic") == 0, "their topics go too")
        #expect(await store.stop() == nil)
    }

    @Test(arguments: [false, true]) func theRowOfARetainedValueStaysAsLongAsItIsRetained(isIndexed: Bool) async throws {
        let store = try self.open()
        let keep = TopicAppend.Keep(messages: 1, seconds: 600, bytes: 1 << 20)
        let outcomes = await store.append([topicRequest("kept", to: "t", retain: .set, keep: keep)])
        guard case .stored(let id, _)? = outcomes.first else { return #expect(Bool(false), "\(outcomes)") }
        if isIndexed { await self.settleAll(store) }
        _ = await store.append((0..<5).map { topicRequest("\($0)", to: "t", keep: keep) })
        await self.settleAll(store)
        #expect(self.rows().prefix(3) == [2, 1, 1], "its row, and the newest")
        if isIndexed {
            #expect(try await store.recall(id, app: .dev) == .recalled)
            #expect(self.count("retained") == 0)
        } else {
            _ = await store.append([topicRequest("next", to: "t", retain: .set, keep: keep)])
            await self.settleAll(store)
            #expect(self.rows() == [1, 1, 1, 1], "replaced, nothing holds it")
        }
        self.clock.advance(milliseconds: 1_800_000)
        await self.settleAll(store)
        #expect(self.count("retained") == 0)
        #expect(self.rows() == [1, 0, 0, 1])
        #expect(await store.stop() == nil)
    }

    @Test func emptyTopicsAreForgotten() async throws {
        let store = try self.open()
        _ = await store.append((0..<1_000).map { topicRequest("x", to: "room/\($0)", ttl: 60) })
        await self.settleAll(store)
        #expect(self.count("topic") == 1_000)
        self.clock.advance(milliseconds: 130_000)
        for _ in 0..<30 { #expect(await settle(store) == nil) }
        #expect(self.count("topic") == 0)
        #expect(self.count("topic_floor") == 0, "what has expired is no loss")
        let slice = try await history(store, "room/7", .after(0), now: self.clock.now)
        #expect(slice.gaps == [])
        #expect(await store.stop() == nil)
    }

    @Test func aForgottenTopicsLossIsToldAllTheSame() async throws {
        let store = try self.open()
        let keep = TopicAppend.Keep(messages: 1, seconds: 600, bytes: 1 << 20)
        _ = await store.append((0..<10).map { topicRequest("\($0)", to: "lossy", keep: keep) })
        let lost = store.end
        for _ in 0..<2 {
            self.clock.advance(milliseconds: 300_000)
            await self.settleAll(store)
        }
        self.clock.advance(milliseconds: 86_400_000 * 89)
        _ = await store.append([topicRequest("x", to: "busy", ttl: 86_400 * 9, keep: .init(messages: 1, seconds: 86_400 * 30, bytes: 1 << 20))])
        await self.settleAll(store)
        #expect(self.count("topic") == 2, "remembered while cursors live")
        #expect(try await history(store, "#", .after(2), now: self.clock.now).gaps.map(\.topic) == ["lossy"])
        self.clock.advance(milliseconds: 86_400_000 * 2)
        await self.settleAll(store)
        #expect(self.count("topic") == 1)
        for topic in ["lossy", "#", "other"] {
            let gaps = try await history(store, topic, .after(2), now: self.clock.now).gaps
            #expect(gaps == [TopicGap(topic: topic, reason: .trimmed, from: 2, to: lost)], "\(topic) may have lost something")
            #expect(try await history(store, topic, .after(lost), now: self.clock.now).gaps == [], "not after it")
        }
        #expect(try await history(store, "busy", .after(2), now: self.clock.now).gaps == [], "this one is known")
        _ = await store.append([topicRequest("again", to: "lossy", ttl: 86_400)])
        #expect(try await history(store, "lossy", .after(2), now: self.clock.now).gaps.map(\.to) == [lost], "as a new topic too")
        #expect(await store.stop() == nil)
    }

    @Test func tooManyEmptyTopicsAreForgottenEarlier() async throws {
        let store = try self.open { $0.rememberedTopics = 150 }
        let keep = TopicAppend.Keep(messages: 0, seconds: 600, bytes: 1 << 20)
        _ = await store.append((0..<400).map { topicRequest("x", to: "room/\($0)", keep: keep) })
        for _ in 0..<40 {
            self.clock.advance(milliseconds: 86_400_000 * 2)
            for _ in 0..<5 { #expect(await settle(store) == nil) }
        }
        #expect(try #require(self.count("topic")) <= 150)
        let slice = try await history(store, "room/1", .after(0), now: self.clock.now)
        #expect(slice.gaps.count == 1, "never without a word")
        #expect(await store.stop() == nil)
    }
}

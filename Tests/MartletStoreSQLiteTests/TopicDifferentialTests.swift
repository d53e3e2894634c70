import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire
import Testing

/// Random histories of topics on the SQLite store and on the one in memory: both must answer the same.
@Suite struct TopicDifferentialTests {
    private static let names = ["a", "a/b", "a/c", "b", "b/c/d", "$s/x"]
    private static let filters = ["#", "+", "a/#", "a/+", "+/c", "b/#", "$s/#", "a", "a/b", "b/c/d", "nothing", "nothing/#"]

    @Test(arguments: 1...60 as ClosedRange<UInt64>) func theSameAsInMemory(seed: UInt64) async throws {
        var random = SeededRandom(seed)
        let clock = ContractClock()
        let folder = TemporaryFolder()
        // What has expired leaves a full topic sooner or later: with small topics nothing expires by itself here.
        let isSmall = seed % 2 == 1
        let unindexed = [0, 6, 40, 50_000][Int(random.next() % 4)]
        let disk = MemoryDisk()
        func open() throws -> [any LogStore] {
            let stores: [any LogStore] = [
                try openStore(folder, clock: clock) { $0.unindexedEntries = unindexed },
                MemoryLogStore(disk: disk, now: { clock.now }, wall: { clock.wall }),
            ]
            for store in stores { store.observe { _ in } }
            return stores
        }
        var stores = try open()
        var ids: [[MessageID]] = [[], []]
        for step in 0..<250 {
            switch random.next() % 20 {
            case 0..<9:
                let requests = (0...random.next() % 4).map { self.request("\(step)-\($0)", isSmall, &random) }
                for (index, store) in stores.enumerated() {
                    for case .stored(let id, repeated: false) in await store.append(requests) { ids[index].append(id) }
                }
            case 9..<11:
                // Of one that a topic does not keep any more nothing need be known.
                guard let index = ids[0].indices.suffix(isSmall ? 1 : 40).randomElement(using: &random) else { continue }
                let first = try await stores[0].recall(ids[0][index], app: .dev)
                let second = try await stores[1].recall(ids[1][index], app: .dev)
                #expect(first == second || first == nil, "seed \(seed), step \(step)")
                if first == nil, second == .recalled { return }
            case 11..<13: clock.advance(milliseconds: Int64(random.next() % 3_000))
            case 13 where step % 3 == 0:
                for store in stores { #expect(await store.stop() == nil) }
                stores = try open()
            case 14:
                if let store = stores[0] as? SQLiteStore { #expect(await settle(store) == nil) }
            case 15:
                // A trim, its answer being that of what comes behind it; and records of sessions.
                let key = TopicKey(app: .dev, name: Self.names[Int(random.next() % 6)])
                let last = ids[0].count < 60 ? 1 : stores[0].end - (isSmall ? 0 : 55)
                let upTo = isSmall && random.next() % 3 == 0 ? .max : random.next() % max(1, last)
                let saves = (0...random.next() % 3).map { _ in Self.saving(&random) }
                for store in stores {
                    store.trim(key, upTo: upTo)
                    #expect(await store.save(saves) == nil)
                }
            default: try await self.compare(stores, clock.now, &random, "seed \(seed), step \(step)")
            }
            #expect(ids[0].count == ids[1].count)
        }
        for store in stores { #expect(await store.stop() == nil) }
    }

    private func request(_ text: String, _ isSmall: Bool, _ random: inout SeededRandom) -> AppendRequest {
        if random.next() % 4 == 0 { return MartletStoreSQLiteTests.request(text) }
        let messages = isSmall ? [0, 1, 3, 8, 8, 8][Int(random.next() % 6)] : 100_000
        let keep = TopicAppend.Keep(
            messages: messages, seconds: [4, 7, 3_600][Int(random.next() % 3)], bytes: isSmall && random.next() % 3 == 0 ? 400 : 1 << 30)
        let ttls = isSmall ? [0, 3_600] : [0, 1, 2, 5, 60]
        let retain: TopicAppend.Retain = [.leave, .leave, .set, .clear][Int(random.next() % 4)]
        var request = topicRequest(
            text, to: Self.names[Int(random.next() % UInt64(Self.names.count))], ttl: ttls[Int(random.next() % UInt64(ttls.count))],
            retain: retain, keep: keep)
        request.marks = MessageMarks(rawValue: random.next() % 3 == 0 ? random.next() : 0)
        if random.next() % 4 == 0 { request.save = Self.saving(&random) }
        return request
    }

    private static func saving(_ random: inout SeededRandom) -> SessionSave {
        let key = DeviceKey(app: .dev, name: "s\(random.next() % 4)")
        if random.next() % 4 == 0 { return SessionSave(key: key, change: .delete) }
        let parts: [[UInt8]?] = (0..<2).map { _ in random.next() % 2 == 0 ? nil : [UInt8](repeating: 7, count: Int(random.next() % 300)) }
        return SessionSave(key: key, change: .set(settings: parts[0], state: parts[1]))
    }

    private func compare(_ stores: [any LogStore], _ now: Int64, _ random: inout SeededRandom, _ place: String) async throws {
        let filter = Self.filters[Int(random.next() % UInt64(Self.filters.count))]
        let end = stores[0].end
        let time = ContractClock().wall + Int64(random.next() % 100_000)
        let start: TopicStart = [
            .earliest, .after(0), .after(random.next() % (end + 2)), .last(Int(random.next() % 9)), .time(time),
        ][Int(random.next() % 5)]
        let messages = random.next() % 2 == 0 ? 100_000 : Int(random.next() % 6)
        let bytes = random.next() % 2 == 0 ? 1 << 30 : Int(random.next() % 400)
        let first = try await history(stores[0], filter, start, messages: messages, bytes: bytes, now: now)
        let second = try await history(stores[1], filter, start, messages: messages, bytes: bytes, now: now)
        let words = "\(place): \(filter) \(start) \(messages) \(bytes)"
        #expect(first.gaps.map { "\($0)" }.sorted() == second.gaps.map { "\($0)" }.sorted(), "\(words)")
        // A reading by a wildcard may end early; then it says so, and the next one goes on.
        #expect(self.told(second).starts(with: self.told(first)), "\(words)")
        if first.entries.count < second.entries.count || first.more != second.more {
            #expect(first.more && filter != "a" && filter != "a/b" && filter != "b/c/d", "\(words)")
        } else if !first.entries.isEmpty {
            #expect(first.position == second.position || first.entries.last.map { $0.message.offset <= first.position } == true, "\(words)")
        }
        guard messages > 0 else { return }
        var position: UInt64 = 0
        var all: [String] = []
        while true {
            let page = try await history(stores[0], filter, .after(position), messages: messages, bytes: bytes, now: now)
            all += self.told(page)
            position = page.position
            if !page.more { break }
        }
        let whole = try await history(stores[1], filter, .earliest, now: now)
        #expect(all == self.told(whole), "\(words)")
        for name in Self.names {
            let key = TopicKey(app: .dev, name: name)
            let infos = [try await stores[0].topicInfo(key, now: now), try await stores[1].topicInfo(key, now: now)]
            #expect(infos[0] == infos[1], "\(place): \(name)")
        }
        let wanted = try TopicFilter(parsing: filter, limits: Limits())
        let limit = Int(random.next() % 5)
        let values = [
            try await stores[0].retained(wanted, app: .dev, limit: limit, now: now),
            try await stores[1].retained(wanted, app: .dev, limit: limit, now: now),
        ].map { $0.map { "\($0.topic) \($0.message.offset) \($0.message.marks)" } }
        #expect(values[0] == values[1], "\(place): retained \(filter)")
        #expect(try await stores[0].loadSessions() == stores[1].loadSessions(), "\(place): sessions")
    }

    private func told(_ slice: TopicSlice) -> [String] {
        slice.entries.map { "\($0.topic) \($0.message.offset) \($0.message.weight) \($0.message.at) \($0.message.expiresAt) \($0.message.marks)" }
    }
}

import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire
import Testing

/// Random histories on the SQLite store and on the one in memory: both must answer the same.
@Suite struct DifferentialTests {
    private static let targets: [InboxKey] = [
        .user("alice", in: .dev), .user("bob", in: .dev), .device("phone", in: .dev), .device("watch", in: .dev),
        .everyone(in: .dev),
    ]

    @Test(arguments: 1...40 as ClosedRange<UInt64>) func theSameAsInMemory(seed: UInt64) async throws {
        var random = SeededRandom(seed)
        let clock = ContractClock()
        let folder = TemporaryFolder()
        var limits = Limits()
        // What has expired or was recalled leaves a full inbox sooner or later, and limits hold by commit: with full inboxes
        // nothing expires or is recalled here, and each call has one message.
        let isFull = seed % 2 == 1
        if isFull { limits.inboxMessages = seed % 4 == 1 ? 8 : 30 }
        let unindexed = [0, 6, 40, 50_000][Int(random.next() % 4)]
        let disk = MemoryDisk()
        func open() throws -> [any LogStore] {
            let stores: [any LogStore] = [
                try openStore(folder, clock: clock, limits: limits) { $0.unindexedEntries = unindexed },
                MemoryLogStore(disk: disk, limits: limits, now: { clock.now }, wall: { clock.wall }),
            ]
            for store in stores { store.observe { _ in } }
            return stores
        }
        var stores = try open()
        var ids: [[MessageID]] = [[], []]
        for step in 0..<250 {
            switch random.next() % 20 {
            case 0..<9:
                let requests = (0...(isFull ? 0 : random.next() % 4)).map {
                    self.request(Int($0) + step * 10, isFull ? [3_600] : [0, 1, 2, 5, 60], &random)
                }
                for (index, store) in stores.enumerated() {
                    for case .stored(let id, repeated: false) in await store.append(requests) { ids[index].append(id) }
                }
            case 9..<11:
                guard !isFull, let index = ids[0].indices.randomElement(using: &random) else { continue }
                let first = try await stores[0].recall(ids[0][index], app: .dev)
                #expect(try await stores[1].recall(ids[1][index], app: .dev) == first)
            case 11..<13: clock.advance(milliseconds: Int64(random.next() % 3_000))
            case 13 where step % 3 == 0:
                for store in stores { #expect(await store.stop() == nil) }
                stores = try open()
            default: try await self.compareReadings(stores, clock.now, &random, "seed \(seed), step \(step)")
            }
            #expect(ids[0].count == ids[1].count)
        }
        for (one, other) in zip(ids[0], ids[1]) {
            let (first, second) = (
                try await stores[0].status(StatusRequest(app: .dev, id: one, now: clock.now)),
                try await stores[1].status(StatusRequest(app: .dev, id: other, now: clock.now))
            )
            #expect(first?.recalled == second?.recalled && first?.targets == second?.targets, "seed \(seed)")
        }
        for store in stores { #expect(await store.stop() == nil) }
    }

    private func request(_ number: Int, _ ttls: [Int], _ random: inout SeededRandom) -> AppendRequest {
        var targets = Self.targets.filter { _ in random.next() % 3 == 0 }
        if targets.isEmpty { targets = [Self.targets[Int(random.next() % 5)]] }
        let ttl = ttls[Int(random.next() % UInt64(ttls.count))]
        return AppendRequest(
            app: .dev, targets: targets, priority: Priority.allCases[Int(random.next() % 3)], ttl: ttl,
            collapseKey: ttl > 0 && random.next() % 3 == 0 ? "k\(random.next() % 4)" : nil,
            members: Array("\"data\":\"\(number)\"".utf8))
    }

    private func compareReadings(
        _ stores: [any LogStore], _ now: Int64, _ random: inout SeededRandom, _ place: String
    ) async throws {
        var after = Positions()
        for lane in Lane.all where random.next() % 2 == 0 { after[lane] = random.next() % (stores[0].end + 1) }
        let request = ReadRequest(
            app: .dev, user: random.next() % 2 == 0 ? "alice" : "bob",
            device: random.next() % 2 == 0 ? "phone" : "watch",
            after: after, messages: 100_000, mediumAndLow: 100_000, low: 100_000, bytes: 1 << 40,
            mediumAndLowBytes: 1 << 40, lowBytes: 1 << 40, oversizeFirst: false, now: now)
        let results = [try await stores[0].read(request), try await stores[1].read(request)]
        #expect(self.told(results[0]) == self.told(results[1]), "\(place)")
        #expect(results[0].end == results[1].end, "\(place)")
        #expect(results[0].gaps == results[1].gaps, "\(place)")
        var limited = request
        limited.messages = Int(random.next() % 8)
        limited.mediumAndLow = max(1, limited.messages * 3 / 4)
        limited.low = max(1, limited.messages / 2)
        let part = try await stores[0].read(limited)
        let all = self.told(results[0])
        for entry in self.told(part) { #expect(all.contains(entry), "\(place): \(entry)") }
        let high = self.told(part).filter { $0.hasPrefix("high") }
        #expect(all.filter { $0.hasPrefix("high") }.starts(with: high), "\(place)")
    }

    private func told(_ result: ReadResult) -> [String] {
        result.entries.map { entry in
            let start = "\(entry.lane.priority.name) \(entry.lane.index) \(entry.offset) "
            guard case .message(let message) = entry.content else { return start + "-" }
            return start + String(message.offset)
        }
    }
}

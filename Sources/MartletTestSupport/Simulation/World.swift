import MartletCore
import MartletWire

/// One server with its store, its clients and its publishers, and chance: one history.
final class World {
    var random: SeededRandom
    let clock = ManualClock()
    let disk = MemoryDisk()
    let limits: Limits
    let canary: Canary?
    let oracle: Oracle
    let isRecording: Bool
    private(set) var log: [String] = []
    private(set) var store: MemoryLogStore
    private(set) var seam: StoreSeam
    // Set in init; it refers back to the world.
    private(set) var hub: Hub?
    var clients: [SimClient] = []
    /// Connections that their clients have left and the server has not noticed.
    var left: [Connection] = []
    /// In the quiet at the end nothing is slow.
    var isQuiet = false
    /// How far into the clients' hostility this history goes, in percent.
    let hostility: Int
    /// Publications that are made and not submitted yet.
    var pendingNumbers = 0
    private var lastFlush: Int64
    private var serial = 0
    private var tablesBefore: MemoryTables?

    init(seed: UInt64, canary: Canary?, isRecording: Bool) {
        var random = SeededRandom(seed: seed)
        var limits = Limits()
        limits.seqBlock = random.chance(50) ? 4 : 64
        if random.chance(15) || canary == .dropsGapNotices { limits.inboxMessages = 3 + random.below(8) }
        self.limits = limits
        self.hostility = random.chance(30) || canary == .dropsGapNotices ? 15 : 0
        self.canary = canary
        self.isRecording = isRecording
        self.oracle = Oracle(inboxLimit: limits.inboxMessages)
        self.lastFlush = self.clock.now
        self.store = MemoryLogStore(disk: self.disk, limits: limits, clock: self.clock, steps: true)
        self.seam = StoreSeam(self.store, canary: canary)
        self.random = random
        self.oracle.now = self.clock.now
        self.hub = Hub(world: self, store: self.seam, clock: self.clock, limits: limits, canary: canary)
        self.makeClients()
    }

    func note(_ text: @autoclosure () -> String) {
        if self.isRecording { self.log.append("\(self.clock.now - 1_000_000) ms: \(text())") }
    }

    func nextSerial() -> Int {
        self.serial += 1
        return self.serial
    }

    private func makeClients() {
        let users: [String?] = ["alice", "alice", "bob", "alice", "bob", nil]
        for index in 0..<3 + self.random.below(4) {
            let kind = self.random.pick(SimClient.Kind.allCases) ?? .explicit
            let isEphemeral = kind != .ramen && self.random.chance(8)
            self.clients.append(
                SimClient(
                    index: index, device: isEphemeral ? nil : "d\(index)", user: users[index % users.count], kind: kind,
                    style: self.random.pick(SimClient.AckStyle.allCases) ?? .single,
                    windowMessages: [1, 2, 4, 8, 64][self.random.below(5)],
                    windowBytes: [300, 1_000, 65_536][self.random.below(3)],
                    slowness: [0, 10, 60][self.random.below(3)], fromNow: self.random.chance(15)))
        }
    }

    // MARK: Time

    func advance(_ milliseconds: Int64) {
        self.clock.advance(milliseconds)
        self.oracle.now = self.clock.now
        if self.clock.now - self.lastFlush >= 900 { self.flushPositions() }
    }

    /// As happens at least once a second while the store can write.
    private func flushPositions() {
        guard !self.store.cannotWrite else { return }
        self.hub?.takeUpdates()
        self.commit(.max)
        self.store.sync()
        self.lastFlush = self.clock.now
    }

    // MARK: The store

    func commit(_ count: Int) {
        if self.canary == .answersBeforeTheDiskHasIt { self.tablesBefore = self.disk.tables }
        self.store.commit(count)
    }

    /// Lets the server do all that it can without its clients.
    func settle() {
        var turns = 0
        while self.store.waitingChanges + self.store.waitingCallbacks + self.store.waitingSnapshots + self.store.waitingResults > 0 {
            self.commit(.max)
            while self.store.deliver() {}
            while self.store.waitingSnapshots > 0 { self.store.takeSnapshot(0) }
            while self.store.waitingResults > 0 { self.store.deliverRead(0) }
            turns += 1
            if turns > 2_000 { return self.oracle.broken(.bounded, "the server reads for ever") }
        }
    }

    // MARK: Ends and starts

    func crash() {
        let some = self.random.below(self.store.waitingChanges + 1)
        self.note("crash, \(some) of \(self.store.waitingChanges) waiting changes are on the disk")
        self.store.crash(committing: some)
        if self.canary == .answersBeforeTheDiskHasIt, let before = self.tablesBefore {
            let run = self.disk.tables.run
            self.disk.tables = before
            self.disk.tables.run = run
            self.disk.tables.isClean = false
        }
        self.leaveAll()
        self.oracle.crashed(recordedUntil: self.lastFlush)
        self.start()
    }

    func stopAndStart() {
        self.note("clean restart")
        // Requests that were taken are answered first.
        self.settle()
        for session in self.hub?.sessions ?? [] { self.hub?.end(session, tell: true) }
        self.store.stop { _ in }
        self.commit(.max)
        while self.store.deliver() {}
        let isClean = self.disk.tables.isClean
        self.leaveAll()
        if !isClean { self.oracle.crashed(recordedUntil: self.lastFlush) }
        self.start()
    }

    private func leaveAll() {
        for client in self.clients { self.leave(client) }
        self.left = []
    }

    private func start() {
        if self.canary == .losesAMessageAtRestart {
            for key in self.disk.tables.inboxes.keys.sorted(by: { $0.name < $1.name }) {
                _ = self.disk.tables.inboxes[key]?.lanes[1].popLast()
            }
        }
        if self.hostility > 0, self.random.chance(10) {
            self.note("a new history begins")
            self.disk.beginNewEpoch()
            self.oracle.epoch += 1
        }
        self.store = MemoryLogStore(disk: self.disk, limits: self.limits, clock: self.clock, steps: true)
        self.seam = StoreSeam(self.store, canary: self.canary)
        self.lookForAcknowledged()
        self.hub = Hub(world: self, store: self.seam, clock: self.clock, limits: self.limits, canary: self.canary)
    }

    private func lookForAcknowledged() {
        for publication in self.oracle.publications where publication.answeredTick != nil {
            guard let id = publication.id else { continue }
            let box = Unshared((self.oracle, publication))
            self.store.status(StatusRequest(app: .dev, id: id, now: self.clock.now)) { result in
                let found = (try? result.get()) ?? nil
                box.value.0.looked(for: box.value.1, isThere: found != nil)
            }
        }
        self.store.commit(.max)
        while self.store.deliver() {}
    }
}

/// Carries a value into a callback of a store that is stepped on this thread.
struct Unshared<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}

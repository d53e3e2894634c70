import MartletCore
import MartletWire

/// One server with two loops and a store, subscribers and publishers of topics, and chance: one history.
final class TopicWorld {
    static let topics = ["m", "m/x", "m/y", "m/x/z", "d", "d/x", "d/y", "n", "n/x", "$m/x"]
    static let filters = topics + ["m/#", "m/+", "m/+/z", "+/x", "#", "+", "d/#", "d/+", "n/#", "$m/#"]

    var random: SeededRandom
    let clock = ManualClock()
    let limits: Limits
    let canary: TopicCanary?
    let oracle: TopicOracle
    let isRecording: Bool
    private(set) var log: [String] = []
    private let disk = MemoryDisk()
    private(set) var store: MemoryLogStore
    // Set in init; it refers back to the world.
    private(set) var server: TopicServer?
    var clients: [TopicClient] = []
    /// Connections that their clients have left and the server has not noticed.
    var left: [TopicConnection] = []
    /// In the quiet at the end nothing is slow.
    var isQuiet = false
    private let namespaces: [String: TopicOptions]
    private var serial = 0
    /// Up to where the oracle knows what the store holds.
    private var learned: UInt64 = 0

    init(seed: UInt64, canary: TopicCanary?, isRecording: Bool) {
        var random = SeededRandom(seed: seed)
        var limits = Limits()
        let isMemoryLimited = canary == nil && random.chance(15)
        if isMemoryLimited { limits.topicMemoryBytes = 6_000 }
        var namespaces: [String: TopicOptions] = [:]
        for name in ["m", "d", "n", "$m"] {
            var options = TopicOptions()
            if name != "n" { options.historyMessages = [1, 3, 10, 1_000][random.below(4)] }
            options.historySeconds = [3, 60, 86_400, 86_400][random.below(4)]
            options.historyBytes = [600, 1_048_576, 1_048_576][random.below(3)]
            options.storage = name == "d" ? .durable : .memory
            options.subscribe = [.token, .token, .all, .none][random.below(4)]
            namespaces[name] = options
        }
        self.namespaces = namespaces
        self.limits = limits
        self.canary = canary
        self.isRecording = isRecording
        self.oracle = TopicOracle(topics: Self.topics, isMemoryLimited: isMemoryLimited) { topic in
            namespaces[topic.split(separator: "/").first.map(String.init) ?? ""] ?? TopicOptions()
        }
        self.store = MemoryLogStore(disk: self.disk, limits: limits, clock: self.clock, steps: true)
        self.random = random
        self.oracle.now = self.clock.now
        self.server = TopicServer(world: self, store: self.store, memoryEpoch: 1, canary: canary)
        for index in 0..<2 + self.random.below(4) { self.clients.append(self.newClient(index)) }
    }

    func note(_ text: @autoclosure () -> String) {
        if self.isRecording { self.log.append("\(self.clock.now - 1_000_000) ms: \(text())") }
    }

    func nextSerial() -> Int {
        self.serial += 1
        return self.serial
    }

    private func newClient(_ index: Int) -> TopicClient {
        let client = TopicClient(
            index: index, isPoll: self.random.chance(15), windowBytes: [250, 1_000, 65_536][self.random.below(3)],
            slowness: [0, 10, 60][self.random.below(3)], wishes: [], rights: self.newGrant())
        for _ in 0...self.random.below(3) { if let wish = self.newWish() { client.wishes.append(wish) } }
        return client
    }

    func newGrant() -> TopicGrant {
        switch self.random.below(10) {
        case 0..<4: return TopicGrant(kind: .everything)
        case 4: return TopicGrant(kind: .unsaid)
        default: return TopicGrant(kind: .patterns((0..<self.random.below(12)).compactMap { _ in self.random.pick(Self.filters) }))
        }
    }

    func newWish() -> SubscribeWish? {
        guard let filter = self.random.pick(Self.filters).flatMap({ self.filter($0) }) else { return nil }
        let starts: [TopicStart] = [.latest, .latest, .latest, .earliest, .last(self.random.below(6)), .time(self.clock.wall - 5_000)]
        return SubscribeWish(filter: filter, start: self.random.pick(starts) ?? .latest)
    }

    func filter(_ text: String) -> TopicFilter? { try? TopicFilter(parsing: text, limits: self.limits) }

    // MARK: Options

    func options(of topic: String) -> TopicOptions { self.oracle.options(topic) }

    /// As the node says it: nil if a filter may be of several namespaces.
    func options(of filter: TopicFilter) -> TopicOptions? {
        let first = filter.text.prefix { $0 != "/" }
        return first == "+" || first == "#" ? nil : self.options(of: filter.text)
    }

    /// What decides who may subscribe. A filter that may be of several namespaces is closed if one of them is.
    func access(of filter: TopicFilter) -> TopicOptions? {
        if let options = self.options(of: filter) { return options }
        return self.namespaces.values.first { $0.subscribe == .none }
    }

    func logs(of filter: TopicFilter) -> [TopicLogKind] {
        guard let options = self.options(of: filter) else { return TopicLogKind.allCases }
        return options.log.map { [$0] } ?? []
    }

    // MARK: Time and the store

    func advance(_ milliseconds: Int64) {
        self.clock.advance(milliseconds)
        self.oracle.now = self.clock.now
        if self.random.chance(50) { self.server?.table.trim(now: self.clock.now) }
    }

    func commit(_ count: Int) {
        self.store.commit(count)
        self.learn()
    }

    /// Offsets are known once they are on the disk: a read may tell of them before anybody is answered.
    private func learn() {
        while self.learned < self.disk.tables.end {
            self.learned += 1
            guard let message = self.disk.tables.rows[self.learned]?.message else { continue }
            self.oracle.stored(Publication.number(in: message.fragment), message)
        }
    }

    func takeMail() {
        guard let server = self.server else { return }
        for loop in server.mail.indices { server.takeMail(loop, .max) }
    }

    /// Lets the server do all that it can without its clients.
    func settle() {
        var turns = 0
        self.takeMail()
        while self.store.waitingChanges + self.store.waitingCallbacks + self.store.waitingSnapshots + self.store.waitingResults > 0 {
            self.commit(.max)
            while self.store.deliver() {}
            while self.store.waitingSnapshots > 0 { self.store.takeSnapshot(0) }
            while self.store.waitingResults > 0 { self.store.deliverRead(0) }
            self.takeMail()
            turns += 1
            if turns > 2_000 { return self.oracle.broken(.bounded, "the server reads for ever") }
        }
    }

    // MARK: Ends and starts

    func crash() {
        let some = self.random.below(self.store.waitingChanges + 1)
        self.note("crash, \(some) of \(self.store.waitingChanges) waiting changes are on the disk")
        self.store.crash(committing: some)
        self.learn()
        self.start()
    }

    func stopAndStart() {
        self.note("clean restart")
        self.settle()
        for session in self.server?.sessions ?? [] { self.server?.end(session, tell: true) }
        self.store.stop { _ in }
        self.commit(.max)
        while self.store.deliver() {}
        self.start()
    }

    private func start() {
        for client in self.clients { self.leave(client) }
        self.left = []
        self.oracle.histories.memory += 1
        if self.random.chance(15) {
            self.note("a new history of the store begins")
            self.disk.beginNewEpoch()
            self.oracle.histories.durable += 1
        }
        self.store = MemoryLogStore(disk: self.disk, limits: self.limits, clock: self.clock, steps: true)
        let epoch = self.canary == .keepsTheEpoch ? 1 : UInt32(self.oracle.histories.memory + 1)
        self.server = TopicServer(world: self, store: self.store, memoryEpoch: epoch, canary: self.canary)
    }
}

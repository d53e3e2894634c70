import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Testing

/// Random histories of clients that come and go, a store that takes its time, and crashes: nothing that was acknowledged is lost, and what
/// is to come exactly once does.
@Suite struct KeptHistoryTests {
    @Test(arguments: [UInt64](0..<300))
    func promisesHold(seed: UInt64) throws {
        let history = try KeptHistory(seed: seed, flaw: nil)
        try history.run()
        #expect(history.faults.isEmpty, "seed \(seed)")
    }

    /// Each check can fail.
    @Test(arguments: KeptHistory.Flaw.allCases)
    func aFlawIsFound(flaw: KeptHistory.Flaw) throws {
        var found: Set<String> = []
        for seed in UInt64(0)..<60 where !found.contains(flaw.fault) {
            let history = try KeptHistory(seed: seed, flaw: flaw)
            try history.run()
            found.formUnion(history.faults)
        }
        #expect(found.contains(flaw.fault))
    }
}

/// One random history. Used by one test at a time, which also calls back.
final class KeptHistory: @unchecked Sendable {
    enum Flaw: CaseIterable, Sendable {
        /// The client forgets which numbers it has.
        case clientForgets
        /// The application loses one message.
        case loses
        /// The application sees two messages in the wrong order.
        case swaps
        /// The publisher takes a new number for what it sends again.
        case publisherForgets

        var fault: String {
            switch self {
            case .clientForgets, .publisherForgets: "twice"
            case .loses: "lost"
            case .swaps: "order"
            }
        }
    }

    private struct Published {
        var topic: String
        var qos: UInt8
        var isStored = false
        /// By the client that publishes, in an order of its own.
        var isWriters = false
    }

    private(set) var faults: Set<String> = []
    private let fixture = KeptFixture(steps: true, topics: ["t": TopicOptions(), "s": TopicTests.durable])
    private var random: SeededRandom
    private let flaw: Flaw?
    private let window: Int
    private var readers: [(device: Device, filters: [(TopicFilter, UInt8)])] = []
    private let writer: Device
    private var published: [Published] = []
    /// What the writer has sent and not been told of, by its number; then numbers to be released.
    private var sending: [UInt16: Int] = [:]
    private var releasing: Set<UInt16> = []
    private var nextNumber: UInt16 = 1

    init(seed: UInt64, flaw: Flaw?) throws {
        self.random = SeededRandom(seed: seed)
        self.flaw = flaw
        self.window = 1 + self.random.below(6)
        self.writer = self.fixture.device("writer")
        for (name, filters) in [("a", [("t/#", UInt8(2))]), ("b", [("t/x", 1), ("s/x", 2)]), ("c", [("s/+", 2), ("t/y", 2)])] {
            let device = self.fixture.device(name)
            self.readers.append((device, try filters.map { (try TopicFilter(parsing: $0.0, limits: Limits()), $0.1) }))
            self.connect(device)
            self.fixture.run()
            for (text, qos) in filters { try self.fixture.subscribe(device, text, qos: qos) }
        }
        self.connect(self.writer)
        self.fixture.run()
    }

    func run() throws {
        for _ in 0..<400 { try self.step() }
        for device in self.fixture.devices { device.breaks() }
        self.fixture.run()
        for device in self.fixture.devices { self.connect(device) }
        for _ in 0..<20 {
            self.fixture.run()
            try self.sendAgain()
            self.fixture.run()
            self.fixture.advance(500)
        }
        if !self.sending.isEmpty || !self.releasing.isEmpty { self.faults.insert("stuck") }
        self.check()
    }

    // MARK: Steps

    private func step() throws {
        switch self.random.below(100) {
        case 0..<22: self.publish()
        case 22..<34: try self.writerPublishes()
        case 34..<50: self.fixture.store.commit(1 + self.random.below(4))
        case 50..<64: for _ in 0...self.random.below(4) { self.fixture.store.deliver() }
        case 64..<70:
            if self.fixture.store.waitingSnapshots > 0 { self.fixture.store.takeSnapshot(0) }
            if self.random.chance(70), self.fixture.store.waitingResults > 0 { self.fixture.store.deliverRead(0) }
        case 70..<80: self.fixture.settle()
        case 80..<90:
            let device = self.random.pick(self.readers)?.device
            device?.answer(1 + self.random.below(4))
        case 90..<93: self.random.pick(self.fixture.devices)?.breaks()
        case 93..<97:
            if let device = self.random.pick(self.fixture.devices) {
                self.connect(device)
                self.fixture.settle()
            }
        case 97: self.fixture.advance(Int64(50 * (1 + self.random.below(40))))
        case 98: self.fixture.run()
        default:
            guard self.random.chance(50) else { return }
            self.noteWindow()
            self.fixture.crash(committing: self.random.below(4))
        }
        if self.random.chance(30) { try self.sendAgain() }
    }

    private func connect(_ device: Device) {
        self.noteWindow()
        if self.flaw == .clientForgets { device.once = [] }
        self.fixture.connect(device, window: self.window, shard: self.random.below(2), settle: false)
    }

    private func noteWindow() {
        for device in self.fixture.devices where device.connection?.most ?? 0 > self.window { self.faults.insert("window") }
    }

    private func enter() -> (index: Int, request: AppendRequest) {
        let topic = self.random.pick(["t/x", "t/y", "s/x"]) ?? "t/x"
        let qos = UInt8(1 + self.random.below(2))
        self.published.append(Published(topic: topic, qos: qos))
        let index = self.published.count - 1
        return (index, self.fixture.request(topic, "\(index)", qos: qos))
    }

    private func publish() {
        let (index, request) = self.enter()
        self.fixture.node.publish([request]) { outcomes in if outcomes.isStored { self.published[index].isStored = true } }
    }

    // MARK: A client that publishes

    private func writerPublishes() throws {
        guard self.sending.count + self.releasing.count < 5, self.writer.connection?.welcome != nil else { return }
        let (index, _) = self.enter()
        self.published[index].isWriters = true
        self.sending[self.takeNumber()] = index
        try self.sendAgain()
    }

    private func takeNumber() -> UInt16 {
        repeat { self.nextNumber = self.nextNumber % 20 + 1 } while self.sending[self.nextNumber] != nil || self.releasing.contains(self.nextNumber)
        return self.nextNumber
    }

    /// What was asked for on this connection.
    private var isAsked: Set<UInt16> = []
    private var askedOn: Connection?

    private func sendAgain() throws {
        guard let connection = self.writer.connection, connection.welcome != nil, connection.closed == nil else { return }
        if self.askedOn !== connection {
            self.askedOn = connection
            self.isAsked = []
            if self.flaw == .publisherForgets {
                for (number, index) in self.sending {
                    self.sending[number] = nil
                    self.sending[self.takeNumber()] = index
                }
            }
        }
        for (number, index) in self.sending.sorted(by: { $0.value < $1.value }) where self.isAsked.insert(number).inserted {
            let one = self.published[index]
            try connection.handle?.publishOnce(self.fixture.request(one.topic, "\(index)", qos: one.qos), number: number) { outcome in
                guard case .stored = outcome, self.sending[number] == index else { return }
                self.published[index].isStored = true
                self.sending[number] = nil
                self.releasing.insert(number)
                self.isAsked.remove(number)
            }
        }
        for number in self.releasing where self.isAsked.insert(number).inserted {
            connection.handle?.release(number: number) { isKnown in
                guard isKnown != nil else { return }
                self.releasing.remove(number)
                self.isAsked.remove(number)
            }
        }
    }

    // MARK: Promises

    private func check() {
        self.noteWindow()
        for (device, filters) in self.readers {
            var delivered = device.delivered.compactMap { Int($0) }
            if self.flaw == .loses { delivered = delivered.filter { $0 != delivered[0] } }
            if self.flaw == .swaps, delivered.count > 3 { delivered.swapAt(0, delivered.count - 1) }
            var seen: [String: Int] = [:]
            var counts: [Int: Int] = [:]
            for index in delivered {
                counts[index, default: 0] += 1
                guard counts[index] == 1 else { continue }
                let topic = self.published[index].topic + (self.published[index].isWriters ? "*" : "")
                if index < seen[topic, default: -1] { self.faults.insert("order") }
                seen[topic] = max(index, seen[topic] ?? -1)
            }
            for (index, one) in self.published.enumerated() {
                let qos = filters.lazy.filter { $0.0.matches(one.topic) }.map(\.1).max()
                let count = counts[index] ?? 0
                guard let qos else {
                    if count > 0 { self.faults.insert("stranger") }
                    continue
                }
                if one.isStored, count == 0 { self.faults.insert("lost") }
                if min(qos, one.qos) == 2, count > 1 { self.faults.insert("twice") }
            }
        }
    }
}

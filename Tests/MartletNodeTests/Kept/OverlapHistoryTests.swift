import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Testing

/// Random histories of clients whose filters overlap, come and go, over broken connections, take-overs and crashes: what is to come exactly
/// once does, and what a filter stood for all the time is not lost.
@Suite struct OverlapHistoryTests {
    @Test(arguments: [UInt64](0..<400))
    func promisesHold(seed: UInt64) throws {
        let history = try OverlapHistory(seed: seed, flaw: nil)
        try history.run()
        #expect(history.faults.isEmpty, "seed \(seed): \(history.details)")
    }

    /// Each check can fail.
    @Test(arguments: OverlapHistory.Flaw.allCases)
    func aFlawIsFound(flaw: OverlapHistory.Flaw) throws {
        var found: Set<String> = []
        for seed in UInt64(0)..<60 where !found.contains(flaw.rawValue) {
            let history = try OverlapHistory(seed: seed, flaw: flaw)
            try history.run()
            found.formUnion(history.faults)
        }
        #expect(found.contains(flaw.rawValue))
    }
}

/// One random history. Used by one test at a time, which also calls back.
final class OverlapHistory: @unchecked Sendable {
    enum Flaw: String, CaseIterable, Sendable {
        /// The client forgets which numbers it has.
        case twice
        /// The application loses one message.
        case lost
        /// The application sees two messages in the wrong order.
        case order
    }

    private struct Published {
        var topic: String
        var qos: UInt8
        var isStored = false
        /// Filters that stood at each reader when it was published, and have stood ever since.
        var standing: [Set<String>] = []
    }

    private final class Reader {
        let device: Device
        /// Filters whose SUBACK came and for which no UNSUBSCRIBE was sent since.
        var standing: Set<String> = []

        /// How many UNSUBSCRIBEs it sent.
        var ends = 0
        /// Whether all of its filters have QoS 2.
        let isStrict: Bool

        init(_ device: Device, isStrict: Bool) {
            self.device = device
            self.isStrict = isStrict
        }
    }

    private(set) var faults: Set<String> = []
    private(set) var details: [String] = []
    private let fixture = KeptFixture(steps: true, topics: ["t": TopicOptions(), "s": TopicTests.durable])
    private var random: SeededRandom
    private let flaw: Flaw?
    private let window: Int
    private var readers: [Reader] = []
    private var published: [Published] = []

    private static let filters = ["t/#", "t/x", "t/+", "#", "s/x", "+/x"]
    private static let topics = ["t/x", "t/y", "s/x"]

    init(seed: UInt64, flaw: Flaw?) throws {
        self.random = SeededRandom(seed: seed)
        self.flaw = flaw
        self.window = 1 + self.random.below(6)
        self.readers = ["a", "b"].map { Reader(self.fixture.device($0), isStrict: $0 == "a") }
        for reader in self.readers {
            self.connect(reader)
            self.fixture.run()
            for _ in 0..<2 { try self.subscribe(reader) }
            self.fixture.run()
        }
    }

    func run() throws {
        for _ in 0..<400 { try self.step() }
        for reader in self.readers { reader.device.breaks() }
        self.fixture.run()
        for reader in self.readers { self.connect(reader) }
        var quiet = 0
        while quiet < 20 {
            let before = self.readers.map(\.device.delivered.count)
            self.fixture.run()
            self.fixture.advance(50)
            quiet = before == self.readers.map(\.device.delivered.count) ? quiet + 1 : 0
        }
        self.check()
    }

    // MARK: Steps

    private func step() throws {
        switch self.random.below(100) {
        case 0..<20: self.publish()
        case 20..<24: if let reader = self.random.pick(self.readers) { try self.publish(by: reader) }
        case 24..<44: self.fixture.store.commit(1 + self.random.below(4))
        case 44..<58: for _ in 0...self.random.below(4) { self.fixture.store.deliver() }
        case 58..<64:
            if self.fixture.store.waitingSnapshots > 0 { self.fixture.store.takeSnapshot(0) }
            if self.random.chance(70), self.fixture.store.waitingResults > 0 { self.fixture.store.deliverRead(0) }
        case 64..<74: self.fixture.settle()
        case 74..<83: self.random.pick(self.readers)?.device.answer(1 + self.random.below(4))
        case 83..<86: if let reader = self.random.pick(self.readers) { try self.subscribe(reader) }
        case 86..<89: if let reader = self.random.pick(self.readers) { try self.unsubscribe(reader) }
        case 89..<91:
            self.random.pick(self.readers)?.device.breaks()
        case 91..<96:
            // Takes over, if the one before is there.
            if let reader = self.random.pick(self.readers) {
                self.connect(reader)
                self.fixture.settle()
            }
        case 96:
            // The disk is full for a moment.
            self.fixture.store.cannotWrite = true
            self.fixture.store.commit(1 + self.random.below(4))
            self.fixture.store.cannotWrite = false
        case 97: self.fixture.advance(Int64(50 * (1 + self.random.below(40))))
        case 98: self.fixture.run()
        default:
            guard self.random.chance(50) else { return }
            self.fixture.crash(committing: self.random.below(4))
        }
    }

    private func connect(_ reader: Reader) {
        if self.flaw == .twice { reader.device.once = [] }
        let shard = self.random.below(2)
        self.fixture.connect(reader.device, window: self.window, shard: shard, settle: false)
    }

    private func subscribe(_ reader: Reader) throws {
        guard reader.device.connection?.welcome != nil, let text = self.random.pick(Self.filters) else { return }
        var wish = SubscribeWish(filter: try TopicFilter(parsing: text, limits: Limits()))
        wish.options.qos = reader.isStrict || self.random.chance(50) ? 2 : 1
        let ends = reader.ends
        try reader.device.connection?.handle?.subscribe([wish]) { error in
            if error == nil, reader.ends == ends { reader.standing.insert(text) }
        }
        // Perhaps with what comes next.
        if self.random.chance(50) { try self.publish(by: reader) }
        if self.random.chance(50) { self.fixture.settle() }
    }

    private func unsubscribe(_ reader: Reader) throws {
        guard reader.device.connection?.welcome != nil, let text = self.random.pick(Self.filters), reader.standing.remove(text) != nil else { return }
        reader.ends += 1
        let index = self.readers.firstIndex { $0 === reader } ?? 0
        for one in self.published.indices { self.published[one].standing[index].remove(text) }
        reader.device.connection?.handle?.unsubscribe([(try TopicFilter(parsing: text, limits: Limits()), nil)]) { _ in }
        if self.random.chance(50) { try self.publish(by: reader) }
        if self.random.chance(50) { self.fixture.settle() }
    }

    private func publish() {
        let (index, request) = self.enter()
        self.fixture.node.publish([request]) { outcomes in if outcomes.isStored { self.published[index].isStored = true } }
    }

    /// With QoS 2: the state of the session is stored with the message.
    private func publish(by reader: Reader) throws {
        guard let handle = reader.device.connection?.handle, reader.device.connection?.welcome != nil else { return }
        let (index, request) = self.enter()
        guard let ready = try handle.ready(request, number: UInt16(1 + index)) else { return }
        handle.publishReady([ready]) { outcomes in if outcomes.isStored { self.published[index].isStored = true } }
    }

    private func enter() -> (index: Int, request: AppendRequest) {
        let topic = self.random.pick(Self.topics) ?? "t/x"
        let qos: UInt8 = self.random.chance(80) ? 2 : 1
        self.published.append(Published(topic: topic, qos: qos, standing: self.readers.map(\.standing)))
        let index = self.published.count - 1
        return (index, self.fixture.request(topic, "\(index)", qos: qos))
    }

    // MARK: Promises

    private func check() {
        for (place, reader) in self.readers.enumerated() {
            var delivered = reader.device.delivered.compactMap { Int($0) }
            if self.flaw == .lost, let first = delivered.last(where: { self.mustCome($0, place) }) { delivered = delivered.filter { $0 != first } }
            if self.flaw == .order, delivered.count > 3 { delivered.swapAt(0, delivered.count - 1) }
            var seen: [String: Int] = [:]
            var counts: [Int: Int] = [:]
            for index in delivered {
                counts[index, default: 0] += 1
                guard counts[index] == 1 else { continue }
                let topic = self.published[index].topic
                if index < seen[topic, default: -1] { self.fault("order", "\(reader.device.name): \(index) after \(seen[topic] ?? -1) of \(topic)") }
                seen[topic] = max(index, seen[topic] ?? -1)
            }
            for (index, one) in self.published.enumerated() {
                let count = counts[index] ?? 0
                if self.mustCome(index, place), count == 0 { self.fault("lost", "\(reader.device.name): \(index) of \(one.topic)") }
                if reader.isStrict, one.qos == 2, count > 1 { self.fault("twice", "\(reader.device.name): \(index) of \(one.topic) \(count) times") }
            }
        }
    }

    private func mustCome(_ index: Int, _ place: Int) -> Bool {
        let one = self.published[index]
        return one.isStored
            && one.standing[place].contains { (try? TopicFilter(parsing: $0, limits: Limits()))?.matches(one.topic) == true }
    }

    private func fault(_ kind: String, _ detail: String) {
        self.faults.insert(kind)
        self.details.append("\(kind): \(detail)")
    }
}

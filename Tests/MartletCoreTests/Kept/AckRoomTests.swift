import MartletCore
import MartletTestSupport
import MartletWire
import Testing

/// Subscriptions of a client that acks: how each message goes out, and never more than it has room for.
struct AckRoomTests {
    private var subscriptions = TopicSubscriptions(windowBytes: 100_000)

    private func message(_ offset: UInt64, qos: UInt8 = 2, origin: UInt32 = 0) -> StoredMessage {
        var marks = MessageMarks()
        marks.qos = qos
        marks.origin = origin
        return StoredMessage(
            id: MessageID(high: offset, low: 0), offset: offset, priority: .medium, at: 0, expiresAt: .max, collapseKey: nil, marks: marks,
            fragment: [])
    }

    private mutating func subscribe(
        _ text: String, qos: UInt8, start: TopicStart = .latest, end: UInt64 = 0, _ change: (inout SubscribeOptions) -> Void = { _ in }
    ) throws -> Int {
        var wish = SubscribeWish(filter: try TopicFilter(parsing: text, limits: Limits()), start: start)
        wish.options.qos = qos
        change(&wish.options)
        return self.subscriptions.subscribe(wish, logs: [.memory], ends: .init(memoryEpoch: 1, memory: end, durable: 0), resume: nil).slot
    }

    private func grant(_ slot: Int, _ topic: String, _ message: StoredMessage, origin: UInt32 = 9) -> TopicSubscriptions.Grant? {
        self.subscriptions.grant(slot, topic, message.marks, origin: origin)
    }

    @Test mutating func theMostDemandingOfThoseThatMatchSaysHow() throws {
        let all = try self.subscribe("#", qos: 0) { $0.identifier = 1 }
        let some = try self.subscribe("a/+", qos: 2) {
            $0.identifier = 2
            $0.retainAsPublished = true
        }
        let one = try self.subscribe("a/b", qos: 1) { $0.identifier = 3 }
        for slot in [all, some, one] {
            let grant = try #require(self.grant(slot, "a/b", self.message(1)))
            #expect(grant.qos == 2)
            #expect(grant.retainAsPublished)
            #expect(Set(grant.moreIdentifiers + [grant.identifier]) == [1, 2, 3])
        }
        #expect(self.grant(one, "a/b", self.message(1, qos: 1))?.qos == 1)
        #expect(self.grant(one, "a/b", self.message(1, qos: 0))?.qos == 0)
        let other = try #require(self.grant(all, "x", self.message(1)))
        #expect(other.qos == 0 && other.identifier == 1 && other.moreIdentifiers.isEmpty && !other.retainAsPublished)
        self.subscriptions.unsubscribe(some)
        #expect(self.grant(all, "a/b", self.message(1))?.qos == 1)
    }

    @Test mutating func ownMessagesAreLeftOutUnlessOneWantsThem() throws {
        let quiet = try self.subscribe("a", qos: 2) { $0.noLocal = true }
        #expect(self.grant(quiet, "a", self.message(1, origin: 9)) == nil)
        #expect(self.grant(quiet, "a", self.message(1, origin: 8))?.qos == 2)
        // Nobody's.
        #expect(self.grant(quiet, "a", self.message(1), origin: 0) != nil)
        let open = try self.subscribe("+", qos: 1)
        #expect(self.grant(quiet, "a", self.message(1, origin: 9))?.qos == 1)
        #expect(self.grant(open, "a", self.message(1, origin: 9))?.qos == 1)
        self.subscriptions.change(open, to: SubscribeOptions(qos: 0))
        #expect(self.grant(quiet, "a", self.message(1, origin: 9))?.qos == 0)
        #expect(self.subscriptions.options(open)?.qos == 0)
    }

    @Test mutating func whatTheClientPublishedIsNotReadEither() throws {
        let slot = try self.subscribe("a", qos: 1, start: .after(0), end: 3) { $0.noLocal = true }
        guard case .read(let read)? = self.subscriptions.next(app: .dev, now: 0) else { throw WireError(.badRequest, "nothing to read") }
        var slice = TopicSlice(
            entries: [(1, 9), (2, 8), (3, 9)].map { .init(topic: "a", message: self.message($0.0, origin: $0.1)) }, gaps: [], more: false,
            position: 3)
        self.subscriptions.ackRoom = 1
        let isSent = self.subscriptions.readDone(read, &slice, origin: 9) { _ in 1 }
        #expect(isSent)
        #expect(slice.entries.map(\.message.offset) == [2])
        #expect(self.subscriptions.isCaughtUp)
        #expect(self.subscriptions.ackRoom == 0)
        #expect(self.subscriptions.options(slot)?.noLocal == true)
    }

    /// One that asks for no acks, of which some messages are acked because another one matches them, must not read for ever.
    @Test mutating func withoutRoomNothingIsReadThatMayHaveToBeAcked() throws {
        _ = try self.subscribe("a", qos: 1, end: 5)
        let all = try self.subscribe("#", qos: 0, start: .after(0), end: 5)
        self.subscriptions.ackRoom = 0
        #expect(self.subscriptions.next(app: .dev, now: 0) == nil)
        self.subscriptions.ackRoom = 1
        guard case .read(let read)? = self.subscriptions.next(app: .dev, now: 0) else { throw WireError(.badRequest, "nothing to read") }
        #expect(read.request.messages == 1)
        #expect(read.request.filter.text == "#")
        #expect(all == 1)
    }

    // MARK: The window

    /// A topic's log, and a client that acks now and then.
    private struct Run {
        var log: [(topic: String, message: StoredMessage)] = []
        var sent: [(offset: UInt64, qos: UInt8)] = []
        var flights = 0
        var most = 0
        let window: Int
        var read: TopicSubscriptions.TopicRead?
    }

    private mutating func sent(_ entry: (topic: String, message: StoredMessage), _ slot: Int, _ run: inout Run) {
        let qos = self.grant(slot, entry.topic, entry.message)?.qos ?? 0
        run.sent.append((entry.message.offset, qos))
        if qos > 0 { run.flights += 1 }
        run.most = max(run.most, run.flights)
    }

    private mutating func pump(_ run: inout Run) {
        guard run.read == nil, case .read(let read)? = self.subscriptions.next(app: .dev, now: 0) else { return }
        run.read = read
    }

    private mutating func finishRead(_ run: inout Run) {
        guard let read = run.read, case .after(let start) = read.request.start else { return }
        run.read = nil
        let all = run.log.filter { $0.message.offset > start && read.request.filter.matches($0.topic) }
        let part = all.prefix(read.request.messages)
        var slice = TopicSlice(
            entries: part.map { .init(topic: $0.topic, message: $0.message) }, gaps: [], more: part.count < all.count,
            position: part.count < all.count ? part.last?.message.offset ?? start : UInt64(run.log.count))
        guard self.subscriptions.readDone(read, &slice, origin: 9, weight: { _ in 10 }) else { return }
        for entry in slice.entries { self.sent((entry.topic, entry.message), read.slot, &run) }
    }

    @Test(arguments: [UInt64](0..<40))
    mutating func neverMoreThanTheWindowAndNothingIsLost(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var run = Run(window: 1 + random.below(8))
        let filters = [("a", UInt8(1)), ("#", 2), ("b/+", 0), ("c", 0)]
        var slots: [(slot: Int, filter: TopicFilter)] = []
        for (text, qos) in filters where text != "#" || random.chance(50) {
            slots.append((try self.subscribe(text, qos: qos), try TopicFilter(parsing: text, limits: Limits())))
        }
        self.subscriptions.ackRoom = run.window
        var expected: [String: [UInt64]] = [:]
        for step in 0..<2_000 {
            switch random.below(10) {
            case 0...3 where run.log.count < 600:
                let topic = random.pick(["a", "b/x", "c"]) ?? "a"
                let message = self.message(UInt64(run.log.count + 1), qos: UInt8(random.below(3)))
                run.log.append((topic, message))
                let matching = slots.filter { $0.filter.matches(topic) }
                if !matching.isEmpty { expected[topic, default: []].append(message.offset) }
                for one in matching {
                    let qos = self.grant(one.slot, topic, message)?.qos ?? 0
                    let isSent = self.subscriptions.announced(
                        one.slot, offset: message.offset, topic: topic, log: .memory, bytes: 10, isAcked: qos > 0)
                    if isSent { self.sent((topic, message), one.slot, &run) }
                }
            case 4, 5: self.pump(&run)
            case 6, 7: self.finishRead(&run)
            case 8 where run.flights > 0:
                run.flights -= 1 + random.below(run.flights)
                self.subscriptions.ackRoom = run.window - run.flights
            default: if step % 3 == 0 { self.subscriptions.socketTook() }
            }
            #expect(self.subscriptions.ackRoom == run.window - run.flights)
        }
        for _ in 0..<5_000 where !self.subscriptions.isCaughtUp {
            run.flights = 0
            self.subscriptions.ackRoom = run.window
            self.subscriptions.socketTook()
            self.pump(&run)
            self.finishRead(&run)
        }
        #expect(self.subscriptions.isCaughtUp)
        #expect(run.most <= run.window)
        // A window of one is full with each message.
        #expect(run.most > 0)
        let topics = Dictionary(uniqueKeysWithValues: run.log.map { ($0.message.offset, $0.topic) })
        for (topic, offsets) in expected {
            #expect(run.sent.filter { topics[$0.offset] == topic }.map(\.offset) == offsets, "\(topic)")
        }
    }
}

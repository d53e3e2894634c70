import MartletCore
import MartletWire
import Testing

/// What the simulation of topics found first, in short.
struct TopicSubscriptionsTests {
    private var subscriptions = TopicSubscriptions(windowBytes: 1_000)

    private func message(_ offset: UInt64) -> StoredMessage {
        StoredMessage(
            id: MessageID(high: offset, low: 0), offset: offset, priority: .medium, at: 0, expiresAt: .max, collapseKey: nil,
            fragment: Array("\(offset)".utf8))
    }

    private func slice(_ offsets: [UInt64], up to: UInt64, more: Bool = false) -> TopicSlice {
        TopicSlice(entries: offsets.map { .init(topic: "m", message: self.message($0)) }, gaps: [], more: more, position: to)
    }

    private mutating func subscribe(_ topic: String, _ start: TopicStart = .latest, end: UInt64, resume: TopicPlace? = nil) -> Int {
        self.subscriptions.subscribe(
            SubscribeWish(filter: TopicFilter(topic: topic), start: start), logs: [.memory],
            ends: .init(memoryEpoch: 1, memory: end, durable: 0), resume: resume.map { .init(place: $0, isDurableKnown: true) }
        ).slot
    }

    private mutating func read() throws -> TopicSubscriptions.TopicRead {
        guard case .read(let read)? = self.subscriptions.next(app: .dev, now: 0) else { throw WireError(.badRequest, "nothing to read") }
        return read
    }

    /// What is not kept is sent though a read has passed its offset.
    @Test mutating func aReadDoesNotHideWhatIsNotKept() throws {
        let slot = self.subscribe("m", .earliest, end: 5)
        let read = try self.read()
        var slice = self.slice([3, 5], up: 9)
        #expect(self.subscriptions.readDone(read, &slice) { _ in 1 })
        #expect(self.subscriptions.isCaughtUp)
        let sent = self.subscriptions.announced(slot, offset: 8, topic: "m", log: nil, bytes: 1)
        #expect(sent)
    }

    /// The start of a subscription is about what was there when it began.
    @Test mutating func historyEndsWhereTheSubscriptionBegan() throws {
        let slot = self.subscribe("m", .last(3), end: 5)
        let before = self.subscriptions.announced(slot, offset: 6, topic: "m", log: .memory, bytes: 1)
        #expect(!before)
        var read = try self.read()
        #expect(read.request.start == .last(3))
        var slice = self.slice([4, 5, 7], up: 7)
        #expect(self.subscriptions.readDone(read, &slice) { _ in 1 })
        #expect(slice.entries.map(\.message.offset) == [4, 5])
        // What came since is read by its offset, so that a gap would be told.
        read = try self.read()
        #expect(read.request.start == .after(5))
    }

    /// A topic that was read while the others had nothing does not come again.
    @Test mutating func theCursorKeepsWhatWasReadAhead() throws {
        let quiet = self.subscribe("quiet", end: 5)
        let slot = self.subscribe("m", end: 5)
        let first = self.subscriptions.announced(slot, offset: 6, topic: "m", log: .memory, bytes: 1_000)
        let second = self.subscriptions.announced(slot, offset: 7, topic: "m", log: .memory, bytes: 10)
        #expect(first && !second)
        self.subscriptions.socketTook()
        let read = try self.read()
        var slice = self.slice([7, 9], up: 9)
        #expect(self.subscriptions.readDone(read, &slice) { _ in 1 })
        for offset in [7, 9] as [UInt64] {
            let place = self.subscriptions.place(memoryEpoch: 1, sending: (read, offset))
            #expect(place.offset(of: TopicFilter(topic: "m"), in: .memory) == offset)
            #expect(place.offset(of: TopicFilter(topic: "quiet"), in: .memory) == 6)
        }
        let isPlainAhead = self.subscriptions.hasPlainPlace
        #expect(!isPlainAhead)
        #expect(self.subscriptions.place(memoryEpoch: 1).offset(of: TopicFilter(topic: "m"), in: .memory) == 9)
        // The next message of any of them is beyond both.
        let third = self.subscriptions.announced(quiet, offset: 10, topic: "quiet", log: .memory, bytes: 1)
        #expect(third)
        let isPlain = self.subscriptions.hasPlainPlace
        #expect(isPlain)
        #expect(self.subscriptions.place(memoryEpoch: 1) == TopicPlace(memoryEpoch: 1, memory: 10))
    }

    private mutating func send(_ offsets: [UInt64], of topic: String, up: UInt64) throws -> (filter: String, sent: [UInt64]) {
        let read = try self.read()
        var slice = TopicSlice(
            entries: offsets.map { .init(topic: topic, message: self.message($0)) }, gaps: [], more: false, position: up)
        let isSent = self.subscriptions.readDone(read, &slice) { _ in 1 }
        return (read.request.filter.text, isSent ? slice.entries.map(\.message.offset) : [])
    }

    /// Resuming with filters that overlap: each message once.
    @Test mutating func whatOneFilterWasSentIsNotSentForAnother() throws {
        let all = try TopicFilter(parsing: "a/#", limits: Limits())
        let place = TopicPlace(memoryEpoch: 1, memory: 3)
        let slot = self.subscriptions.subscribe(
            SubscribeWish(filter: all), logs: [.memory], ends: .init(memoryEpoch: 1, memory: 6, durable: 0),
            resume: .init(place: place, isDurableKnown: true)
        ).slot
        let one = self.subscribe("a/b", end: 6, resume: place)
        #expect(try self.send([4, 6], of: "a/b", up: 6) == ("a/#", [4, 6]))
        #expect(try self.send([4, 6], of: "a/b", up: 6) == ("a/b", []))
        #expect(self.subscriptions.isCaughtUp)
        // What was read before it was announced is not sent again, for none of them.
        self.subscriptions.unsubscribe(slot)
        let late = self.subscriptions.announced(one, offset: 6, topic: "a/b", log: .memory, bytes: 1)
        let next = self.subscriptions.announced(one, offset: 7, topic: "a/b", log: .memory, bytes: 1)
        #expect(!late && next)
    }

    /// One filter was read less far than the other when the connection ended: the cursor says which of them has what.
    @Test mutating func theCursorSaysWhatOthersNeedNot() throws {
        let all = try TopicFilter(parsing: "a/#", limits: Limits())
        let place = TopicPlace(
            memoryEpoch: 1, memory: 9,
            behind: [.init(hash: shortHash("a/#"), log: .memory, offset: 3), .init(hash: shortHash("a/b"), log: .memory, offset: 9, isKnown: true)])
        _ = self.subscribe("a/b", end: 9, resume: place)
        _ = self.subscriptions.subscribe(
            SubscribeWish(filter: all), logs: [.memory], ends: .init(memoryEpoch: 1, memory: 9, durable: 0),
            resume: .init(place: place, isDurableKnown: true))
        #expect(self.subscriptions.place(memoryEpoch: 1).isKnown(TopicFilter(topic: "a/b"), in: .memory))
        #expect(try self.send([5, 8], of: "a/b", up: 9) == ("a/#", []))
    }

    /// History that is asked for comes before what is published meanwhile.
    @Test mutating func theOlderGoesFirst() throws {
        let one = self.subscribe("a/b", end: 6)
        let all = try TopicFilter(parsing: "a/#", limits: Limits())
        _ = self.subscriptions.subscribe(
            SubscribeWish(filter: all, start: .earliest), logs: [.memory], ends: .init(memoryEpoch: 1, memory: 6, durable: 0), resume: nil)
        let early = self.subscriptions.announced(one, offset: 7, topic: "a/b", log: .memory, bytes: 1)
        #expect(!early)
        // Where it begins is found first.
        #expect(try self.send([2, 4], of: "a/b", up: 7) == ("a/#", []))
        #expect(try self.send([2, 4, 7], of: "a/b", up: 7) == ("a/#", [2, 4, 7]))
        #expect(try self.send([7], of: "a/b", up: 7) == ("a/b", []))
        #expect(self.subscriptions.isCaughtUp)
    }

    /// A filter over all namespaces reads both logs, whatever one of them brings.
    @Test mutating func bothLogsHaveTheirTurn() throws {
        let all = try TopicFilter(parsing: "#", limits: Limits())
        let slot = self.subscriptions.subscribe(
            SubscribeWish(filter: all, start: .earliest), logs: TopicLogKind.allCases,
            ends: .init(memoryEpoch: 1, memory: 5, durable: 5), resume: nil
        ).slot
        var logs: [TopicLogKind] = []
        for offset in 6..<10 as Range<UInt64> {
            let read = try self.read()
            logs.append(read.log)
            var slice = self.slice([offset - 4], up: offset - 4, more: true)
            #expect(self.subscriptions.readDone(read, &slice) { _ in 1 })
            let isSent = self.subscriptions.announced(slot, offset: offset, topic: "m", log: .memory, bytes: 1)
            #expect(!isSent)
        }
        #expect(logs == [.memory, .durable, .memory, .durable])
    }

    /// What was sent while a read was under way takes its room.
    @Test mutating func aReadAndWhatIsLiveShareTheWindow() throws {
        let slot = self.subscribe("m", end: 5)
        let quiet = self.subscribe("quiet", end: 5)
        let large = self.subscriptions.announced(slot, offset: 6, topic: "m", log: .memory, bytes: 1_000)
        let missed = self.subscriptions.announced(slot, offset: 7, topic: "m", log: .memory, bytes: 400)
        #expect(large && !missed)
        self.subscriptions.socketTook()
        var read = try self.read()
        let live = self.subscriptions.announced(quiet, offset: 9, topic: "quiet", log: .memory, bytes: 700)
        #expect(live)
        var slice = self.slice([7, 8], up: 9)
        #expect(self.subscriptions.readDone(read, &slice) { _ in 400 })
        #expect(slice.entries.isEmpty && !self.subscriptions.isCaughtUp)
        // There is no use in reading it again before there is room, and then the room is kept for it.
        let isWaiting = self.subscriptions.next(app: .dev, now: 0) == nil
        #expect(isWaiting)
        self.subscriptions.socketTook()
        read = try self.read()
        let second = self.subscriptions.announced(quiet, offset: 10, topic: "quiet", log: .memory, bytes: 700)
        #expect(!second)
        slice = self.slice([7, 8], up: 9)
        #expect(self.subscriptions.readDone(read, &slice) { _ in 400 })
        #expect(slice.entries.map(\.message.offset) == [7, 8])
    }

    /// A cursor that is given out before its gaps were told still leads to them.
    @Test func whatWasNotToldIsToldAgain() {
        func cursor(_ epoch: UInt32, _ place: TopicPlace?) -> Cursor {
            Cursor(tag: 9, epoch: epoch, appHash: 1, userHash: 0, deviceHash: 0, positions: Positions(), topics: place)
        }
        let now = TopicPlace(memoryEpoch: 2, memory: 10, durable: 20, behind: [.init(hash: 1, log: .memory, offset: 0)])
        let stale = TopicPlace(
            memoryEpoch: 1, memory: 77, durable: 15, behind: [.init(hash: 2, log: .memory, offset: 5), .init(hash: 3, log: .durable, offset: 5)])
        #expect(
            cursor(7, now).keepingUntold(of: cursor(7, stale))
                == cursor(7, TopicPlace(memoryEpoch: 1, memory: 77, durable: 20, behind: [.init(hash: 2, log: .memory, offset: 5)])))
        let restored = cursor(7, now).keepingUntold(of: cursor(6, TopicPlace(memoryEpoch: 2, memory: 4, durable: 30)))
        #expect(restored == cursor(6, TopicPlace(memoryEpoch: 2, memory: 10, durable: 30, behind: now.behind)))
        #expect(cursor(7, now).keepingUntold(of: cursor(6, nil)) == cursor(7, now))
        #expect(cursor(7, nil).keepingUntold(of: cursor(6, now)) == cursor(7, nil))
    }
}

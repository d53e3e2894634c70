import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Testing

/// Retained values for clients that read slowly, or not at all.
@Suite struct RetainedTests {
    private static let size = 10_000
    private static let window = Limits().windowBytes

    private let fixture: NodeFixture

    init() {
        var plain = TopicOptions()
        plain.storage = .durable
        self.fixture = NodeFixture(topics: ["kept": TopicTests.kept, "stored": TopicTests.durable, "plain": plain])
    }

    /// A client and its session.
    private struct Reader {
        let client: Recorder
        let handle: any SessionHandle
        let fixture: NodeFixture

        /// What came, in order: `name` for a value, `name!` for a message.
        var names: [String] {
            self.client.topics.map { delivery in
                let text = String(decoding: delivery.message.fragment, as: UTF8.self)
                let name = text.split(separator: #""topic":""#).last?.prefix { $0 != "\"" } ?? ""
                return String(name.split(separator: "/").last ?? "") + (delivery.isRetained ? "" : "!")
            }
        }

        var bytes: Int { self.client.topics.reduce(0) { $0 + $1.message.fragment.count + 64 } }

        /// The socket takes what it has.
        func take() {
            self.handle.socketTook()
            self.fixture.settle()
        }

        /// The socket takes everything, one time after the other, as long as something comes; returns the most bytes that came at once.
        func takeAll() -> Int {
            var most = 0
            var before = -1
            while before != self.bytes {
                before = self.bytes
                self.take()
                most = max(most, self.bytes - before)
            }
            return most
        }
    }

    private func filter(_ text: String) throws -> TopicFilter { try TopicFilter(parsing: text, limits: Limits()) }

    private func connect(_ topics: String..., takes: Bool = false, transport: TransportKind = .sse) throws -> Reader {
        var hello = Hello(app: .dev, user: nil, device: nil, ackMode: .none, limits: Limits())
        hello.rights = .everything
        hello.transport = transport
        hello.isPoll = transport == .poll
        hello.topics = try topics.map { SubscribeWish(filter: try self.filter($0)) }
        let client = Recorder()
        client.takes = takes
        let handle = self.fixture.node.open(hello, client: client, shard: 0)
        self.fixture.settle()
        return Reader(client: client, handle: handle, fixture: self.fixture)
    }

    private func publish(_ topic: String, retain: TopicAppend.Retain = .set, bytes: Int = Self.size) {
        let data = String(repeating: "x", count: bytes)
        self.fixture.node.publish([
            AppendRequest(
                app: .dev, targets: [], ttl: 600, topic: TopicAppend(name: topic, retain: retain),
                members: Array(#""topic":"\#(topic)","data":"\#(data)""#.utf8))
        ]) { _ in }
        self.fixture.settle()
    }

    private func names(_ range: Range<Int>) -> [String] { range.map { "\($0 + 100)" } }

    private func fill(_ space: String, _ count: Int = 40, bytes: Int = Self.size) {
        for name in self.names(0..<count) { self.publish("\(space)/\(name)", bytes: bytes) }
    }

    @Test(arguments: ["set", "kept", "stored", "plain"])
    func whoDoesNotReadIsSentHalfAWindow(space: String) throws {
        self.fill(space)
        let reader = try self.connect("\(space)/#")
        #expect(reader.names == self.names(0..<3))
        self.fixture.advance(2_000)
        #expect(reader.names.count == 3)
        reader.take()
        #expect(reader.names == self.names(0..<6))
        #expect(reader.takeAll() <= Self.window / 2)
        #expect(reader.names == self.names(0..<40))
        #expect(reader.client.topicGaps.isEmpty)
    }

    @Test(arguments: ["set", "stored"])
    func oneThatIsLargerGoesAlone(space: String) throws {
        self.fill(space, 5, bytes: 60_000)
        let reader = try self.connect("\(space)/#")
        for count in 1...5 {
            #expect(reader.names == self.names(0..<count))
            reader.take()
        }
        #expect(reader.names.count == 5)
    }

    @Test(arguments: ["set", "kept", "stored", "plain"])
    func moreThanAThousandComeAll(space: String) throws {
        self.fill(space, 2_500, bytes: 20)
        let reader = try self.connect("\(space)/+", takes: true)
        #expect(reader.names.count == 2_500)
        #expect(Set(reader.names).count == 2_500)
        #expect(reader.client.topicGaps.isEmpty)
    }

    @Test(arguments: ["set", "kept", "stored", "plain"])
    func whatChangesMeanwhileIsSentAsItIsThen(space: String) throws {
        self.fill(space, 10)
        let reader = try self.connect("\(space)/#")
        #expect(reader.names == self.names(0..<3))
        // Out already, still to come, and not at all.
        self.publish("\(space)/100", bytes: 100)
        self.publish("\(space)/107", bytes: 100)
        self.publish("\(space)/108", retain: .clear, bytes: 0)
        _ = reader.takeAll()
        #expect(reader.names.filter { $0.hasPrefix("100") } == ["100", "100!"])
        #expect(reader.names.filter { $0.hasPrefix("107") } == ["107!"])
        #expect(reader.names.filter { $0.hasPrefix("108") } == ["108!"])
        #expect(reader.names.filter { !$0.hasSuffix("!") } == self.names(0..<7) + ["109"])
    }

    @Test(arguments: ["set", "kept", "stored"])
    func theValueComesBeforeAMessage(space: String) throws {
        self.fill(space, 10)
        let reader = try self.connect("\(space)/#")
        self.publish("\(space)/109", retain: .leave, bytes: 10)
        self.publish("\(space)/101", retain: .leave, bytes: 10)
        _ = reader.takeAll()
        #expect(reader.names.filter { $0.hasPrefix("109") } == ["109", "109!"])
        #expect(reader.names.filter { $0.hasPrefix("101") } == ["101", "101!"])
        #expect(reader.names.count == 12)
        #expect(reader.client.topicGaps.isEmpty)
    }

    @Test func aMessageWithoutRoomForItsValueIsToldAsLost() throws {
        self.fill("set", 10, bytes: 30_000)
        let reader = try self.connect("set/#")
        #expect(reader.names == self.names(0..<1))
        for _ in 0..<3 { self.publish("set/109", retain: .leave, bytes: 20_000) }
        _ = reader.takeAll()
        #expect(reader.names.first { $0.hasPrefix("109") } == "109")
        #expect(reader.names.filter { $0 == "109" }.count == 1)
        #expect(reader.client.topicGaps.map(\.reason) == [.slow])
    }

    @Test(arguments: ["set", "stored"])
    func filtersThatOverlapBringEachOnce(space: String) throws {
        self.fill(space, 12)
        let reader = try self.connect("\(space)/103", "\(space)/#", "\(space)/+")
        _ = reader.takeAll()
        #expect(reader.names == ["103"] + self.names(0..<12).filter { $0 != "103" })
    }

    @Test(arguments: ["set", "stored"])
    func whoLeavesGetsNoMore(space: String) throws {
        self.fill(space, 12)
        let reader = try self.connect("\(space)/#")
        reader.handle.unsubscribe([try self.filter("\(space)/#")])
        _ = reader.takeAll()
        #expect(reader.names == self.names(0..<3))
        try reader.handle.subscribe([SubscribeWish(filter: try self.filter("\(space)/#"))])
        self.publish("\(space)/100", bytes: 1)
        _ = reader.takeAll()
        #expect(reader.names.filter { !$0.hasSuffix("!") } == self.names(0..<3) + self.names(0..<12))
    }

    @Test(arguments: ["set", "stored"])
    func anAnswerHasAsManyAsFit(space: String) throws {
        self.fill(space)
        let poll = try self.connect("\(space)/#", transport: .poll)
        #expect(poll.client.flushes == 1)
        #expect(poll.bytes > 3 * Self.window && poll.bytes <= 4 * Self.window + Self.size + 200)
        #expect(poll.names == self.names(0..<poll.names.count))
        #expect(poll.client.topicGaps == [TopicGap(topic: "\(space)/#", reason: .slow)])
        self.fill("few", 3)
        let small = try self.connect("few/#", "nothing/#", transport: .poll)
        #expect(small.names == self.names(0..<3))
        #expect(small.client.topicGaps.isEmpty)
        #expect(small.client.settledCount > 0)
    }
}

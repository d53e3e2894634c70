import MartletCore
import MartletTestSupport
import MartletWire
import Testing

/// A table with a clock and ids, and a memory of what it was told.
struct TopicFixture {
    var table: TopicTable
    let limits: Limits
    var options = TopicOptions()
    var now: Int64 = 1_000_000
    var at: Int64 = 1_763_690_000_000
    private var lastID: UInt64 = 0

    init(limits: Limits = Limits(), history: Int = 100) {
        self.limits = limits
        self.table = TopicTable(limits: limits)
        self.options.historyMessages = history
    }

    mutating func nextID() -> MessageID {
        self.lastID += 1
        return MessageID(milliseconds: 1_763_690_000_000 + Int64(self.lastID), counter: 0, random: self.lastID)
    }

    mutating func append(
        _ topic: String, _ text: String = "1", ttl: Int = 86_400, key: String? = nil, retain: TopicAppend.Retain = .leave, app: AppID = .dev
    ) -> TopicAppended {
        let request = AppendRequest(
            app: app, targets: [], ttl: ttl, idempotency: key.map { .init(key: $0, digest: Array(text.utf8)) },
            topic: TopicAppend(name: topic, retain: retain), members: Array(#""data":\#(text)"#.utf8))
        return self.table.append(
            request, to: TopicKey(app: app, name: topic), options: self.options, id: self.nextID(), now: self.now, at: self.at)
    }

    @discardableResult
    mutating func publish(
        _ topic: String, _ text: String = "1", ttl: Int = 86_400, retain: TopicAppend.Retain = .leave, app: AppID = .dev
    ) throws -> StoredMessage {
        guard case .stored(let message) = self.append(topic, text, ttl: ttl, retain: retain, app: app) else {
            throw WireError(.badRequest, "not stored")
        }
        return message
    }

    func filter(_ text: String) throws -> TopicFilter { try TopicFilter(parsing: text, limits: self.limits) }

    mutating func read(
        _ filter: String, _ start: TopicStart = .earliest, messages: Int = 1_000, bytes: Int = 1_000_000, app: AppID = .dev
    ) throws -> TopicSlice {
        self.table.read(
            TopicReadRequest(app: app, filter: try self.filter(filter), start: start, messages: messages, bytes: bytes, now: self.now))
    }

    mutating func offsets(_ filter: String, _ start: TopicStart = .earliest, app: AppID = .dev) throws -> [UInt64] {
        try self.read(filter, start, app: app).entries.map(\.message.offset)
    }

    func retained(_ filter: String, limit: Int = 100) throws -> [String] {
        self.table.retained(try self.filter(filter), app: .dev, limit: limit, now: self.now).map(\.topic)
    }

    mutating func info(_ topic: String) -> TopicLogInfo { self.table.info(TopicKey(app: .dev, name: topic), now: self.now) }
}

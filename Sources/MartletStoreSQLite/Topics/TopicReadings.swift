import MartletCore

/// What a ``Reader`` runs for topics.
struct TopicReadings {
    let topic, topicByID, topics, lost, largestLost, floor: Statement
    let entries, lastEntries, kept, scan, scanBack, header, message: Statement
    let retained, oneRetained: Statement

    init(_ db: Connection) throws {
        self.topic = try db.prepare("SELECT \(TopicRow.columns) FROM topic WHERE app = ? AND name = ?")
        self.topicByID = try db.prepare("SELECT \(TopicRow.columns), name FROM topic WHERE id = ?")
        self.topics = try db.prepare(
            "SELECT \(TopicRow.columns), name FROM topic WHERE app = ? AND name >= ? AND name < ? ORDER BY name")
        self.lost = try db.prepare("SELECT id, lost, name FROM topic WHERE app = ? AND lost > ? AND lost > 0 ORDER BY lost")
        self.largestLost = try db.prepare("SELECT max(lost) FROM topic WHERE app = ? AND lost > 0")
        self.floor = try db.prepare("SELECT upto FROM topic_floor WHERE app = ?")
        let columns = "SELECT offset, size, born, expires FROM topic_entry WHERE topic = ? AND offset > ? AND offset <= ?"
        self.entries = try db.prepare("\(columns) ORDER BY offset")
        self.lastEntries = try db.prepare("\(columns) ORDER BY offset DESC")
        self.kept = try db.prepare(
            """
            SELECT count(*), sum(size), min(offset), max(offset) FROM topic_entry
            WHERE topic = ? AND offset > ? AND offset <= ? AND expires > ? AND born > ?
            """)
        let index = "SELECT offset, topic FROM message INDEXED BY message_topic WHERE app = ? AND topic IS NOT NULL"
        self.scan = try db.prepare("\(index) AND offset > ? ORDER BY offset")
        self.scanBack = try db.prepare("\(index) AND offset <= ? ORDER BY offset DESC")
        self.header = try db.prepare("SELECT size, born, expires, flags FROM message WHERE offset = ?")
        self.message = try db.prepare(
            """
            SELECT m.offset, m.high, m.low, m.flags, m.at, m.expires, m.collapse, b.fragment, m.marks, m.priority
            FROM message m JOIN body b ON b.offset = m.offset WHERE m.offset = ?
            """)
        let value = "SELECT offset, high, low, 0, at, expires, NULL, fragment, marks, priority, name FROM retained WHERE app = ? AND name"
        self.oneRetained = try db.prepare("\(value) = ?")
        self.retained = try db.prepare("\(value) >= ? AND name < ? ORDER BY name")
    }
}

extension Statement {
    /// Binds a range of names. SQLite takes any text for less than any bytes.
    func bind(_ index: Int32, _ range: (first: String, end: String?)) {
        self.bind(index, range.first)
        if let end = range.end { self.bind(index + 1, end) } else { self.bind(index + 1, [0xff]) }
    }
}

/// A message that a reading may return.
struct TopicRef {
    var topic: Int64
    var offset: UInt64
    var size: Int
    /// nil if it is to be read from the file.
    var message: StoredMessage?
}

/// What is taken from the memtable for one topic.
struct TopicInMemory {
    /// nil without unindexed messages.
    var state: TopicState?
    var kept: [StoredMessage] = []
    var lost: UInt64 = 0
}

/// How many messages and bytes a reading of topics may still return.
struct TopicBudget {
    private var messages: Int
    private var bytes: Int
    private var isFirst = true

    init(_ request: TopicReadRequest) {
        self.messages = request.messages
        self.bytes = request.bytes
    }

    /// Takes a message, if there is room; the first one however large it is.
    mutating func take(_ size: Int) -> Bool {
        guard self.messages > 0, self.isFirst || self.bytes >= size else { return false }
        self.messages -= 1
        self.bytes -= size
        self.isFirst = false
        return true
    }
}

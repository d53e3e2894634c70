package import MartletWire

/// A message as a store holds it: immutable, encoded once, shared by all who are sent it.
package final class StoredMessage: Sendable {
    package let id: MessageID
    /// Its place in commit order; see ``LogStore``.
    package let offset: UInt64
    package let priority: Priority
    /// When it was stored: Unix time in milliseconds, by the wall clock, for people.
    package let at: Int64
    /// When it expires, in milliseconds of the server's own clock; see ``ServerClock``.
    package let expiresAt: Int64
    /// What it replaces and is replaced by, within one inbox.
    package let collapseKey: String?
    /// Whether it goes only to those who are connected at the publish (`ttl` 0). Never read from the log.
    package let liveOnly: Bool
    package let marks: MessageMarks
    /// The members of the JSON object that every device sees, without braces:
    /// `"id":"…","at":1763690947123,"type":"…","data":…,"priority":"high"`. UTF-8.
    package let fragment: [UInt8]
    /// Whether ``fragment`` holds CR or LF (between tokens of `data`), which line-based transports must split at.
    package let hasLineBreaks: Bool

    package init(
        id: MessageID, offset: UInt64, priority: Priority, at: Int64, expiresAt: Int64,
        collapseKey: String?, liveOnly: Bool = false, marks: MessageMarks = MessageMarks(), fragment: [UInt8]
    ) {
        self.marks = marks
        self.id = id
        self.offset = offset
        self.priority = priority
        self.at = at
        self.expiresAt = expiresAt
        self.collapseKey = collapseKey
        self.liveOnly = liveOnly
        self.fragment = fragment
        self.hasLineBreaks = fragment.contains { $0 == 0x0a || $0 == 0x0d }
    }

    /// What it counts for in a window, in bytes.
    package var weight: Int { self.fragment.count }

    package func isExpired(at now: Int64) -> Bool { self.expiresAt <= now }

    /// Puts ``fragment`` together: the id and time, which only the store knows, before the members that the
    /// publisher's request was encoded to.
    package static func fragment(id: MessageID, at: Int64, members: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(members.count + 72)
        bytes.append(contentsOf: #""id":""#.utf8)
        id.append(to: &bytes)
        bytes.append(contentsOf: #"","at":"#.utf8)
        bytes.append(contentsOf: String(at).utf8)
        if !members.isEmpty {
            bytes.append(UInt8(ascii: ","))
            bytes.append(contentsOf: members)
        }
        return bytes
    }
}

/// A message on its way into the store: checked, and encoded as far as it can be before it has an id.
package struct AppendRequest: Sendable {
    package var app: AppID
    /// The inboxes it goes to: at least one, no two the same; none if it goes to a topic.
    package var targets: [InboxKey]
    package var priority: Priority
    /// Time to live in seconds; 0 means "whoever is connected now".
    package var ttl: Int
    package var collapseKey: String?
    package var idempotency: Idempotency?
    /// What makes it a message of a topic; ``targets`` is empty then.
    package var topic: TopicAppend?
    package var marks = MessageMarks()
    /// Written in the same commit as the message, or not at all; also if the message was stored before.
    package var save: SessionSave?
    /// Members of the JSON object that devices see, without `id` and `at`: `"type":"…","data":…,"priority":"…"`.
    package var members: [UInt8]

    package init(
        app: AppID, targets: [InboxKey], priority: Priority = .medium, ttl: Int = 1_800,
        collapseKey: String? = nil, idempotency: Idempotency? = nil, topic: TopicAppend? = nil, members: [UInt8]
    ) {
        self.topic = topic
        self.app = app
        self.targets = targets
        self.priority = priority
        self.ttl = ttl
        self.collapseKey = collapseKey
        self.idempotency = idempotency
        self.members = members
    }

    /// Makes a repeat of a publish harmless.
    package struct Idempotency: Hashable, Sendable {
        package var key: String
        /// A digest of what was published (SHA-256 of target, members, priority, ttl and collapse key), at most 32 bytes.
        package var digest: [UInt8]

        package init(key: String, digest: [UInt8]) {
            self.key = key
            self.digest = digest
        }
    }
}

/// What a publish to a topic says beyond a message.
package struct TopicAppend: Hashable, Sendable {
    /// What becomes of the topic's retained value.
    package enum Retain: UInt8, Sendable {
        case leave, set, clear
    }

    package var name: String
    package var retain: Retain
    /// How much of the topic is kept; set by the node from the topic's options.
    package var keep: Keep

    package struct Keep: Hashable, Sendable {
        package var messages: Int
        package var seconds: Int
        package var bytes: Int

        package init(messages: Int = 0, seconds: Int = 0, bytes: Int = 0) {
            self.messages = messages
            self.seconds = seconds
            self.bytes = bytes
        }
    }

    package init(name: String, retain: Retain = .leave, keep: Keep = Keep()) {
        self.name = name
        self.retain = retain
        self.keep = keep
    }
}

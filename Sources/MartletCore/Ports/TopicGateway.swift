import MartletWire

/// A topic, or filter, that a client asks for.
package struct SubscribeWish: Equatable, Sendable {
    package var filter: TopicFilter
    package var start: TopicStart
    /// Whether it wants to be told who comes and goes.
    package var presence: Bool
    package var options = SubscribeOptions()

    package init(filter: TopicFilter, start: TopicStart = .latest, presence: Bool = false) {
        self.filter = filter
        self.start = start
        self.presence = presence
    }
}

/// One message of a topic for one subscriber.
package struct TopicDelivery {
    package var message: StoredMessage
    /// The topic's value from before the subscription began.
    package var isRetained: Bool
    /// The place after it; nil if the topic keeps no history.
    package var cursor: Cursor?
    /// Whether the cursor is the same for all receivers of ``frames`` that have one (a subscriber without user and device).
    package var isCursorShared: Bool
    /// What transports have encoded of this message already, on this loop.
    package var frames: SharedFrames

    package init(message: StoredMessage, isRetained: Bool, cursor: Cursor?, isCursorShared: Bool, frames: SharedFrames) {
        self.message = message
        self.isRetained = isRetained
        self.cursor = cursor
        self.isCursorShared = isCursorShared
        self.frames = frames
    }
}

/// Encoded forms of one message, made by the first receiver that needs one and shared by the others of its event loop.
package final class SharedFrames {
    /// A form: one for each way in which the bytes may look.
    package enum Form: Int, CaseIterable, Sendable {
        case sse, sseWithCursor, websocket, websocketWithCursor, websocketDeflated, ndjson, ndjsonWithCursor, multipart, multipartWithCursor
        case mqtt, mqttAcked, mqtt5, mqtt5Acked
        case grpc, grpcWithCursor
    }

    private var forms: InlineArray<15, AnyObject?> = .init(repeating: nil)

    package init() {}

    /// The bytes of a form, as the transport that made them keeps them.
    @inline(__always)
    package subscript(form: Form) -> AnyObject? {
        get { self.forms[form.rawValue] }
        set { self.forms[form.rawValue] = newValue }
    }
}

/// A subscription stands.
package struct SubscribedNotice: Equatable, Sendable {
    package var filter: TopicFilter
    /// Subscribers of a single topic, this one included; nil for a filter with wildcards, or where presence is off.
    package var count: Int?

    package init(filter: TopicFilter, count: Int? = nil) {
        self.filter = filter
        self.count = count
    }
}

/// Why a subscription ended though the session goes on.
package enum UnsubscribeReason: String, Sendable {
    /// The client asked for it.
    case requested
    /// The client asked for the end of what was not there.
    case notSubscribed = "not_subscribed"
    /// The rights of a renewed token do not hold it any more.
    case forbidden
}

/// Who came and went within the last second or so.
package struct PresenceEvent: Equatable, Sendable {
    package var topic: String
    /// Those who came and those who left; at most ``Limits/presenceListed`` of each, then only the numbers tell.
    package var joined: [PresenceMember]
    package var left: [PresenceMember]
    package var joinedCount: Int
    package var leftCount: Int
    /// Members there are now.
    package var count: Int

    package init(
        topic: String, joined: [PresenceMember], left: [PresenceMember], joinedCount: Int, leftCount: Int, count: Int
    ) {
        self.topic = topic
        self.joined = joined
        self.left = left
        self.joinedCount = joinedCount
        self.leftCount = leftCount
        self.count = count
    }
}

/// Someone who subscribes to a topic: a device of a user. Several sessions of one count once.
package struct PresenceMember: Hashable, Sendable {
    package var user: String?
    package var device: String?

    package init(user: String?, device: String?) {
        self.user = user
        self.device = device
    }

    package static func == (left: PresenceMember, right: PresenceMember) -> Bool {
        isSameName(left.user, right.user) && isSameName(left.device, right.device)
    }
}

/// One page of those who are there.
package struct PresencePage: Equatable, Sendable {
    /// In the order of user, then device.
    package var members: [PresenceMember]
    package var count: Int
    /// What to go on after; nil at the end.
    package var next: PresenceMember?

    package init(members: [PresenceMember], count: Int, next: PresenceMember?) {
        self.members = members
        self.count = count
        self.next = next
    }
}

/// What is known of a topic.
package struct TopicInfo: Equatable, Sendable {
    /// Live subscriptions to it by its name, and by filters that match it.
    package var subscribers: Int
    package var options: TopicOptions
    /// nil if it keeps no history.
    package var log: TopicLogInfo?
    package var hasRetained: Bool

    package init(subscribers: Int, options: TopicOptions, log: TopicLogInfo?, hasRetained: Bool) {
        self.subscribers = subscribers
        self.options = options
        self.log = log
        self.hasRetained = hasRetained
    }
}

/// What back ends, and clients that may, ask of topics. Publishing goes through ``MessageDesk/publish(_:done:)`` with a request whose
/// ``AppendRequest/topic`` is set.
///
/// Completions are called on any thread and must return quickly.
package protocol TopicDesk: Sendable {
    /// The options of a topic.
    func options(of topic: TopicKey) -> TopicOptions

    /// Messages that are kept; `latest` gives none.
    func history(_ request: TopicReadRequest, done: @escaping @Sendable (Result<TopicSlice, StoreError>) -> Void)

    /// The retained value; nil for none.
    func retained(_ topic: TopicKey, done: @escaping @Sendable (Result<StoredMessage?, StoreError>) -> Void)

    func info(_ topic: TopicKey, done: @escaping @Sendable (Result<TopicInfo, StoreError>) -> Void)

    /// - Parameters:
    ///   - limit: members listed at most; 0 only counts.
    ///   - after: nil for the first page.
    func presence(_ topic: TopicKey, limit: Int, after: PresenceMember?) -> PresencePage
}

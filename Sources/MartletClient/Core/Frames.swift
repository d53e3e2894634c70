/// What a server says, on any transport.
package enum ServerFrame: Sendable {
    case welcome(Welcome)
    case message(IncomingMessage)
    case gap(Gap, cursor: String?)
    case presence(Presence)
    case subscribed(topics: [String], cursor: String?)
    case unsubscribed(topic: String, reason: String)
    case published(ref: Int, id: String)
    /// The answer to something that was asked; the session goes on.
    case refused(MartletError, Asked)
    case renewed(expiresAtMs: Int64?)
    case drain(afterMs: Int64)
    /// Nothing else was to be said.
    case heartbeat
    /// Something came that says only that the connection lives.
    case sign

    /// What was refused.
    package enum Asked: Sendable, Equatable {
        case publish(ref: Int)
        case subscribe(topic: String?)
        case renewal
    }
}

package struct Welcome: Sendable {
    package var session = ""
    package var heartbeatMs: Int64 = 25_000
    package var retryMs: Int64?
    package var serverTimeMs: Int64?
    package var expiresAtMs: Int64?
    package var cursor: String?
    package var device: String?
    package init() {}
}

package struct IncomingMessage: Sendable {
    /// nil where it is not acked by number.
    package var seq: UInt64?
    /// The place after it; nil if there is none.
    package var cursor: String?
    package var message: Message
    package init(seq: UInt64?, cursor: String?, message: Message) {
        self.seq = seq
        self.cursor = cursor
        self.message = message
    }
}

/// What a client says, on any transport.
package enum ClientFrame: Sendable, Equatable {
    case ack([UInt64])
    case subscribe([TopicWish])
    case unsubscribe([String])
    case publish(Draft)
    case renew(token: String)
    case heartbeat
}

package struct TopicWish: Sendable, Equatable {
    package var topic: String
    package var since: Since?
    package var presence = false
    package init(topic: String, since: Since? = nil, presence: Bool = false) {
        self.topic = topic
        self.since = since
        self.presence = presence
    }
}

/// A publish of a client's to a topic.
package struct Draft: Sendable, Equatable {
    /// Comes back in the answer.
    package var ref: Int
    package var topic: String
    /// JSON.
    package var data: [UInt8]
    package var type: String?
    package var ttlSeconds: Int?
    package var retain = false
    package var idempotencyKey: String
    package init(ref: Int, topic: String, data: [UInt8], type: String? = nil, ttlSeconds: Int? = nil, retain: Bool = false, idempotencyKey: String) {
        self.ref = ref
        self.topic = topic
        self.data = data
        self.type = type
        self.ttlSeconds = ttlSeconds
        self.retain = retain
        self.idempotencyKey = idempotencyKey
    }
}

/// How a session ended, or why none began.
package enum SessionEnd: Error, Sendable, Equatable {
    /// The server said so, with a close code.
    case closed(Int, String)
    /// The server answered with an error of its own.
    case refused(MartletError)
    /// Something in between answered in its place: a status, and when to try again.
    case foreign(Int, retryAfterMs: Int64?)
    /// Nothing listens at the address.
    case unreachable(String)
    /// The connection broke off.
    case lost(String)
    /// It was not welcomed in time, or nothing was heard for too long.
    case silent
}

public import Foundation

/// What the connection does.
public enum Status: Sendable, Equatable {
    /// Nothing was asked for yet.
    case idle
    case connecting
    /// With the transport that was taken: `websocket`, `sse`, `grpc`.
    case connected(transport: String)
    /// Tries again at this time; the error says why it has to.
    case waiting(until: Date, MartletError)
    /// Does not try again. Without an error it was ``Martlet/close()``.
    case closed(MartletError?)
}

/// What comes next does not follow on what came before.
public struct Gap: Sendable, Equatable {
    /// `inbox_full`, `owner`, `epoch`, `beyond_end`, `trimmed` or `slow`: docs/protocol.md.
    public var reason: String
    /// Whose inbox: `user`, `device` or `app`; nil with a topic.
    public var scope: String?
    /// nil with an inbox.
    public var topic: String?
    /// What lies after `from` up to `to` is gone; nil when that is not known.
    public var from: UInt64?
    public var to: UInt64?
    /// As the server wrote it.
    public var json: Data

    package init(reason: String, scope: String? = nil, topic: String? = nil, from: UInt64? = nil, to: UInt64? = nil, json: Data = Data()) {
        self.reason = reason
        self.scope = scope
        self.topic = topic
        self.from = from
        self.to = to
        self.json = json
    }
}

/// Who came to a topic and who left it, within the last second or so.
public struct Presence: Sendable, Equatable {
    /// Somebody who subscribes.
    public struct Member: Sendable, Hashable {
        public var user: String?
        public var device: String?

        package init(user: String?, device: String?) {
            self.user = user
            self.device = device
        }
    }

    public var topic: String
    /// Who is there now.
    public var count: Int
    /// A part of them, if they are many: the counts tell.
    public var joined: [Member]
    public var left: [Member]
    public var joinedCount: Int
    public var leftCount: Int

    package init(topic: String, count: Int, joined: [Member], left: [Member], joinedCount: Int, leftCount: Int) {
        self.topic = topic
        self.count = count
        self.joined = joined
        self.left = left
        self.joinedCount = joinedCount
        self.leftCount = leftCount
    }
}

/// Something that an app may want to know of and that ends nothing.
public enum Notice: Sendable {
    case status(Status)
    case gap(Gap)
    /// A subscription ended though the session goes on; its sequences throw.
    case unsubscribed(topic: String, reason: String)
    /// Something failed and is tried again: a token closure, a write of the store.
    case problem(MartletError)
}

import MartletCore
import MartletWire

/// A subscriber, as it is outside of the server.
final class TopicClient {
    let index: Int
    let isPoll: Bool
    let windowBytes: Int
    /// In percent: how often its socket does not take at once.
    let slowness: Int
    /// What it subscribes to when it connects.
    var wishes: [SubscribeWish]
    var rights: TopicGrant
    var connection: TopicConnection?
    /// The newest cursor that it received.
    var place: TopicMark?

    init(index: Int, isPoll: Bool, windowBytes: Int, slowness: Int, wishes: [SubscribeWish], rights: TopicGrant) {
        self.index = index
        self.isPoll = isPoll
        self.windowBytes = windowBytes
        self.slowness = slowness
        self.wishes = wishes
        self.rights = rights
    }

    var name: String { "client \(self.index)\(self.isPoll ? " (poll)" : "")" }
}

/// What a token grants, in a form that can be judged without the code under test.
struct TopicGrant {
    enum Kind {
        case everything
        case unsaid
        case patterns([String])
    }

    var kind: Kind

    func rights(_ limits: Limits) -> TopicRights {
        switch self.kind {
        case .everything: .everything
        case .unsaid: .unsaid
        case .patterns(let patterns):
            TopicRights(
                patterns.compactMap { try? TopicFilter(parsing: $0, limits: limits) }.map { .init(pattern: $0, actions: [.subscribe]) })
        }
    }

    func allows(_ topic: String, _ access: TopicOptions.Access) -> Bool {
        switch self.kind {
        case .everything: true
        case .unsaid: access == .all
        case .patterns(let patterns): access != .none && patterns.contains { plainlyMatches($0, topic) }
        }
    }
}

/// A cursor, and what the oracle knows by it.
struct TopicMark {
    var session: Int
    /// How many messages and gaps the session had been sent.
    var events: Int
    var cursor: Cursor
    /// When it was made, and what it is of.
    var tick: Int
    var histories: TopicPublication.Histories
}

enum TopicFrame {
    case welcome(TopicMark)
    case message(TopicMark?, number: Int)
    case retained(number: Int)
    case gap(TopicGap, TopicMark)
    case subscribed(TopicMark)
    case unsubscribed(TopicFilter, UnsubscribeReason)
    case closed
}

/// One connection, with what is on its way to the client.
final class TopicConnection {
    let client: TopicClient
    /// nil once the server has let go of it.
    var session: TopicSession?
    var queued: [TopicFrame] = []
    var pipe: [TopicFrame] = []
    var isSocketFull = false
    /// The client is gone; the server may not have noticed.
    var isLost = false

    init(_ client: TopicClient) { self.client = client }
}

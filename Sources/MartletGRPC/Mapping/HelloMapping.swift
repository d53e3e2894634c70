import MartletCore
import MartletProto
import MartletWire

/// Who asks, once that was checked.
struct GRPCCaller: Sendable {
    var app: AppID
    var user: String?
    var device: String?
    /// Until when its token is good; Unix time in milliseconds, nil without an end.
    var expiresAtMs: Int64?
    var rights: TopicRights
}

/// Requests of a session as the core knows them. Untrusted: SwiftProtobuf has checked no more than their form.
struct HelloMapping {
    let limits: Limits

    func hello(_ wish: ProtoConnectRequest.Hello, _ caller: GRPCCaller, _ transport: TransportKind) throws(WireError) -> Hello {
        var hello = Hello(
            app: caller.app, user: caller.user, device: caller.device, ackMode: wish.noAcks ? .none : .explicit, limits: self.limits)
        hello.rights = caller.rights
        hello.expiresAtMs = caller.expiresAtMs
        hello.transport = transport
        hello.seesClient = true
        hello.fromNow = wish.fromNow
        hello.automaticReconnect = wish.automaticReconnect
        if !wish.cursor.isEmpty { hello.cursor = try Cursor(parsing: wish.cursor) }
        if wish.windowMessages > 0 { hello.windowMessages = min(Int(wish.windowMessages), self.limits.windowMessagesMax) }
        if wish.windowBytes > 0 { hello.windowBytes = min(Int(wish.windowBytes), self.limits.windowBytes * Self.windowFactor) }
        if wish.heartbeatMs > 0 {
            hello.heartbeatMs = min(max(Int64(wish.heartbeatMs), self.limits.heartbeatMinMs), self.limits.heartbeatMaxMs)
        }
        hello.topics = try self.wishes(wish.topics)
        return hello
    }

    /// A window in bytes may be so much larger than it is by default.
    static let windowFactor = 4

    func wishes(_ topics: [ProtoTopicWish]) throws(WireError) -> [SubscribeWish] {
        guard topics.count <= self.limits.topicsPerSession else { throw TopicList.tooMany(self.limits) }
        var seen: Set<TopicFilter> = []
        var wishes: [SubscribeWish] = []
        for topic in topics {
            let filter = try TopicFilter(parsing: topic.topic, limits: self.limits)
            guard seen.insert(filter).inserted else { continue }
            let start = topic.since.isEmpty ? TopicStart.latest : try TopicStart(parsing: topic.since)
            wishes.append(SubscribeWish(filter: filter, start: start, presence: topic.presence))
        }
        return wishes
    }

    func filters(_ topics: [String]) throws(WireError) -> [TopicFilter] {
        guard topics.count <= self.limits.topicsPerSession else { throw TopicList.tooMany(self.limits) }
        var filters: [TopicFilter] = []
        for topic in topics { filters.append(try TopicFilter(parsing: topic, limits: self.limits)) }
        return filters
    }

    /// Sequence numbers that one ack may list.
    private static let seqsMost = 1_024

    /// What an ack says: by number, or by cursor.
    enum Ack {
        case seqs(SeqAck)
        case cursor(Cursor)
    }

    func ack(_ ack: ProtoConnectRequest.Ack) throws(WireError) -> Ack {
        switch (ack.upTo > 0, !ack.seqs.isEmpty, !ack.cursor.isEmpty) {
        case (true, false, false): return .seqs(.upTo(ack.upTo))
        case (false, true, false):
            guard ack.seqs.count <= Self.seqsMost else {
                throw WireError(.badRequest, "An ack may list \(Self.seqsMost) numbers.", limit: Self.seqsMost)
            }
            return .seqs(.each(ack.seqs))
        case (false, false, true): return .cursor(try Cursor(parsing: ack.cursor))
        default: throw WireError(.badRequest, "An ack has exactly one of up_to, seqs and cursor.")
        }
    }
}

import MartletCore
import NIOCore

/// What a session says within one answer: `{"cursor":"…","messages":[…],…}`.
struct PollAnswer {
    /// The place after everything in it.
    var cursor: Cursor?
    /// A live session has the device: there is nothing to send.
    var isBeside = false
    private var messages = ByteBuffer()
    private var messageCount = 0
    /// As JSON.
    private var gaps: [[UInt8]] = []
    private var presences: [[UInt8]] = []

    /// Whether there is something to say.
    var hasNews: Bool { self.messageCount > 0 || !self.gaps.isEmpty || !self.presences.isEmpty }

    mutating func add(_ delivery: borrowing Delivery) {
        self.next()
        DeliveryJSON.message(delivery, [], into: &self.messages)
        self.cursor = delivery.cursor
    }

    mutating func add(_ delivery: borrowing TopicDelivery) {
        self.next()
        DeliveryJSON.message(delivery.message, isRetained: delivery.isRetained, into: &self.messages)
        if let cursor = delivery.cursor { self.cursor = cursor }
    }

    private mutating func next() {
        if self.messageCount > 0 { self.messages.writeInteger(UInt8(ascii: ",")) }
        self.messageCount += 1
    }

    /// - Parameter cursor: the place after it; nil if it is not of a topic.
    mutating func add(gap: [UInt8], cursor: Cursor? = nil) {
        self.gaps.append(gap)
        if let cursor { self.cursor = cursor }
    }

    mutating func add(presence: [UInt8]) { self.presences.append(presence) }

    /// The whole, as JSON.
    ///
    /// - Parameter more: members of the transport's own, each with a comma before it.
    func json(more: (inout ByteBuffer) -> Void = { _ in }) -> ByteBuffer {
        var body = ByteBufferAllocator().buffer(capacity: 160 + self.messages.readableBytes)
        body.writeString(#"{"cursor":"\#(self.cursor?.description ?? "")","messages":["#)
        body.writeImmutableBuffer(self.messages)
        body.writeStaticString("]")
        Self.write(self.gaps, as: "gaps", to: &body)
        Self.write(self.presences, as: "presence", to: &body)
        if self.isBeside { body.writeStaticString(#","live":true"#) }
        more(&body)
        body.writeStaticString("}")
        return body
    }

    /// Appends `,"name":[…]` if there is anything.
    static func write(_ values: [[UInt8]], as name: String, to body: inout ByteBuffer) {
        guard !values.isEmpty else { return }
        body.writeString(#","\#(name)":["#)
        for (index, value) in values.enumerated() {
            if index > 0 { body.writeInteger(UInt8(ascii: ",")) }
            body.writeBytes(value)
        }
        body.writeStaticString("]")
    }
}

/// A client whose session's words go into one answer.
protocol AnsweringClient: LiveClient {
    var answer: PollAnswer { get set }
}

extension AnsweringClient {
    func send(_ delivery: borrowing Delivery) { self.answer.add(delivery) }

    func gap(_ gap: GapNotice) { self.answer.add(gap: DeliveryJSON.gap(gap)) }

    func send(_ delivery: borrowing TopicDelivery) { self.answer.add(delivery) }

    func gap(_ gap: TopicGap, cursor: Cursor) { self.answer.add(gap: DeliveryJSON.gap(gap), cursor: cursor) }

    func subscribed(_ notices: [SubscribedNotice], cursor: Cursor) {
        // An answer's topics are known when it begins.
    }

    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason) {
        // The next that asks for it is refused.
    }

    func presence(_ event: PresenceEvent) { self.answer.add(presence: DeliveryJSON.presence(event)) }
}

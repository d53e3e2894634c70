import MartletWire

/// What was read of a message so far. The values are views of the request's bytes.
struct PublishDraft {
    private var seen: UInt16 = 0
    var targets: [InboxKey]?
    /// Instead of targets.
    var topic: String?
    var retain: Bool?
    var type: JSONValue?
    var data: JSONValue?
    /// Without the quotes.
    var base64: [UInt8]?
    var contentType: String?
    var notification: JSONValue?
    var priority: Priority?
    var ttl: Int?
    var collapseKey: String?
    var idempotencyKey: String?

    /// - Returns: whether the member comes for the first time.
    mutating func note(_ member: PublishMember) -> Bool {
        let bit = UInt16(1) << UInt16(member.rawValue)
        defer { self.seen |= bit }
        return self.seen & bit == 0
    }

    /// The members that devices see.
    func members(capacity: Int) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(capacity)
        if let topic = self.topic {
            output.append(contentsOf: #""topic":"#.utf8)
            JSON.append(topic, to: &output)
            output.append(UInt8(ascii: ","))
        }
        if let type = self.type {
            output.append(contentsOf: #""type":"#.utf8)
            output.append(contentsOf: type.raw)
            output.append(UInt8(ascii: ","))
        }
        if let data = self.data {
            output.append(contentsOf: #""data":"#.utf8)
            output.append(contentsOf: data.raw)
            output.append(UInt8(ascii: ","))
        }
        if let base64 = self.base64 {
            output.append(contentsOf: #""dataBase64":""#.utf8)
            output.append(contentsOf: base64)
            output.append(contentsOf: #"","#.utf8)
        }
        if let contentType = self.contentType {
            output.append(contentsOf: #""contentType":"#.utf8)
            JSON.append(contentType, to: &output)
            output.append(UInt8(ascii: ","))
        }
        if let notification = self.notification {
            output.append(contentsOf: #""notification":"#.utf8)
            output.append(contentsOf: notification.raw)
            output.append(UInt8(ascii: ","))
        }
        if self.topic == nil {
            output.append(contentsOf: #""priority":""#.utf8)
            output.append(contentsOf: (self.priority ?? .medium).name.utf8)
            output.append(UInt8(ascii: "\""))
        } else {
            output.removeLast()
        }
        return output
    }

    /// The refusal of a value that is to be kept and is not.
    static let retainedForNoTime = WireError(
        .badRequest,
        "With a \"ttl\" of 0 nothing is kept, so it does not go with \"retain\": leave it out, or say for how many seconds to keep the value.")

    /// The part that is about a topic; nil if it goes to inboxes.
    ///
    /// - Throws: `bad_request` for a member that does not go with the target.
    func topicAppend() throws(WireError) -> TopicAppend? {
        guard let topic = self.topic else {
            guard self.retain == nil else {
                throw WireError(.badRequest, "\"retain\" is for topics: {\"to\":{\"topic\":\"a/b\"},…}.")
            }
            return nil
        }
        guard self.priority == nil else {
            throw WireError(.badRequest, "A topic has one lane: leave \"priority\" out.")
        }
        guard self.collapseKey == nil else {
            throw WireError(.badRequest, "Topics do not collapse: leave \"collapseKey\" out, or keep the last value with \"retain\":true.")
        }
        guard self.retain == true else { return TopicAppend(name: topic) }
        guard self.ttl != 0 else { throw Self.retainedForNoTime }
        let isEmpty = self.data == nil && self.base64 == nil && self.notification == nil
        return TopicAppend(name: topic, retain: isEmpty ? .clear : .set)
    }
}

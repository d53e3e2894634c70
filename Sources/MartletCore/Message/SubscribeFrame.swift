import MartletWire

extension SubscribeWish {
    /// Reads what a frame subscribes to: a topic or filter as a string, an object `{"topic":"a","since":"last:10","presence":true}`,
    /// or an array of these.
    ///
    /// - Throws: `bad_request`, `too_many_topics`.
    static func list(_ value: JSONValue, limits: Limits) throws(WireError) -> [SubscribeWish] {
        guard value.kind == .array else { return [try SubscribeWish(value, limits: limits)] }
        let elements = value.elements
        guard elements.count <= limits.topicsPerSession else { throw TopicList.tooMany(limits) }
        var result: [SubscribeWish] = []
        var seen: Set<TopicFilter> = []
        for element in elements {
            let wish = try SubscribeWish(element, limits: limits)
            if seen.insert(wish.filter).inserted { result.append(wish) }
        }
        return result
    }

    private init(_ value: JSONValue, limits: Limits) throws(WireError) {
        guard value.kind == .object else {
            self.init(filter: try TopicFilter(value, "subscribe", limits: limits))
            return
        }
        var filter: TopicFilter?
        var wish = SubscribeWish(filter: TopicFilter(topic: ""))
        for (key, value) in value.members {
            if key.equals("topic"), filter == nil {
                filter = try TopicFilter(value, "topic", limits: limits)
            } else if key.equals("since") {
                wish.start = try TopicStart(value)
            } else if key.equals("presence"), value.kind == .true || value.kind == .false {
                wish.presence = value.kind == .true
            } else {
                throw Self.shape
            }
        }
        guard let filter else { throw Self.shape }
        wish.filter = filter
        self = wish
    }

    private static let shape = WireError(
        .badRequest, "\"subscribe\" takes a topic, {\"topic\":\"a/b\",\"since\":\"last:10\",\"presence\":true}, or an array of these.")
}

extension TopicStart {
    /// Reads a string, or a time as a number of milliseconds since 1970.
    fileprivate init(_ value: JSONValue) throws(WireError) {
        if let text = value.string {
            try self.init(parsing: text)
        } else {
            guard let milliseconds = value.unsigned.flatMap({ Int64(exactly: $0) }) else {
                throw WireError(.badRequest, "\"since\" must be a string such as \"last:10\", or a time in milliseconds since 1970.")
            }
            self = .time(milliseconds)
        }
    }
}

extension TopicFilter {
    /// Reads what a frame unsubscribes from: a topic or filter as a string, or an array of these.
    static func list(_ value: JSONValue, limits: Limits) throws(WireError) -> [TopicFilter] {
        guard value.kind == .array else { return [try TopicFilter(value, "unsubscribe", limits: limits)] }
        let elements = value.elements
        guard elements.count <= limits.topicsPerSession else { throw TopicList.tooMany(limits) }
        var result: [TopicFilter] = []
        for element in elements { result.append(try TopicFilter(element, "unsubscribe", limits: limits)) }
        return result
    }

    fileprivate init(_ value: JSONValue, _ member: String, limits: Limits) throws(WireError) {
        guard let text = value.string else {
            throw WireError(.badRequest, "\"\(member)\" must name a topic, as a string such as \"a/b\" or \"a/#\".")
        }
        try self.init(parsing: text, limits: limits)
    }
}

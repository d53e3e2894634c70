package import MartletWire

/// A topic's name, or a pattern of names, as a subscriber asks for it (MQTT 5.0 §4.7).
///
/// **Shape.** Levels with `/` between; empty ones are allowed. `+` as a whole level stands for one level, `#` as the last for any
/// number of levels, none included. Topics that begin with `$` are not matched by a wildcard in the first level.
package struct TopicFilter: Hashable, Sendable {
    package let text: String
    /// Whether it can match more than the topic of the same name.
    package let isWildcard: Bool

    /// Reads a filter. Untrusted: any text, any length.
    ///
    /// - Throws: `bad_request` with a sentence that says what is wrong.
    package init(parsing text: String, limits: Limits) throws(WireError) {
        if let problem = topicProblem(text, limits, wildcards: true) { throw WireError(.badRequest, "The topic \(problem).") }
        self.text = text
        self.isWildcard = text.utf8.contains { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }
    }

    /// A topic's own name, which was checked before.
    package init(topic: String) {
        self.text = topic
        self.isWildcard = false
    }

    package static func == (left: TopicFilter, right: TopicFilter) -> Bool { isSameName(left.text, right.text) }
}

extension TopicFilter {
    /// Whether a topic is one that it asks for.
    package func matches(_ topic: String) -> Bool {
        guard self.isWildcard else { return isSameName(self.text, topic) }
        return self.covers(TopicFilter(topic: topic))
    }

    /// Whether everything that `other` matches, this matches too.
    package func covers(_ other: TopicFilter) -> Bool {
        if other.text.utf8.first == UInt8(ascii: "$"), let first = self.text.utf8.first, first != UInt8(ascii: "$"), self.isWildcard {
            if first == UInt8(ascii: "+") || first == UInt8(ascii: "#") { return false }
        }
        var own = self.text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)[...]
        var others = other.text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)[...]
        while let level = own.popFirst() {
            if level.elementsEqual("#".utf8) { return true }
            guard let theirs = others.popFirst() else { return false }
            if theirs.elementsEqual("#".utf8) { return false }
            if level.elementsEqual("+".utf8) { continue }
            guard level.elementsEqual(theirs) else { return false }
        }
        return others.isEmpty
    }
}

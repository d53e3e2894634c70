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
        if let problem = topicProblem(text, limits, wildcards: true) { throw problem.error }
        self.text = text
        self.isWildcard = text.utf8.contains { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }
    }

    /// A topic's own name, which was checked before.
    package init(topic: String) {
        self.text = topic
        self.isWildcard = false
    }

    /// See ``QueueTopic``.
    init(queueOf filter: TopicFilter, isWildcard: Bool? = nil) {
        self.text = QueueTopic.name(of: filter.text)
        self.isWildcard = isWildcard ?? filter.isWildcard
    }

    init(originalOf queue: TopicFilter, dropping bytes: Int) {
        self.text = String(Substring(queue.text.utf8.dropFirst(bytes)))
        self.isWildcard = queue.isWildcard
    }

    package static func == (left: TopicFilter, right: TopicFilter) -> Bool { isSameName(left.text, right.text) }

    package func hash(into hasher: inout Hasher) { hasher.combine(self.text) }
}

extension TopicFilter {
    /// Whether a topic is one that it asks for. Allocates nothing.
    package func matches(_ topic: String) -> Bool {
        guard self.isWildcard else { return isSameName(self.text, topic) }
        return withBytes(of: self.text) { own in withBytes(of: topic) { Self.covers(own, $0) } }
    }

    /// Whether everything that `other` matches, this matches too. Allocates nothing.
    package func covers(_ other: TopicFilter) -> Bool {
        guard self.isWildcard else { return isSameName(self.text, other.text) }
        return withBytes(of: self.text) { own in withBytes(of: other.text) { Self.covers(own, $0) } }
    }

    /// Whether there can be a topic that both match. Allocates nothing.
    package func overlaps(_ other: TopicFilter) -> Bool {
        guard self.isWildcard else { return other.matches(self.text) }
        guard other.isWildcard else { return self.matches(other.text) }
        return withBytes(of: self.text) { own in withBytes(of: other.text) { Self.overlaps(own, $0) } }
    }

    /// The names that it can match lie from `first` on and before `end` (nil: up to the last), as bytes compare.
    package var names: (first: String, end: String?) {
        guard self.isWildcard else { return (self.text, self.text + "\u{0}") }
        let levels = self.text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let literal = levels.prefix { !$0.elementsEqual("+".utf8) && !$0.elementsEqual("#".utf8) }
        guard !literal.isEmpty else { return ("", nil) }
        let prefix = String(Substring(self.text.utf8.prefix(literal.reduce(literal.count - 1) { $0 + $1.count })))
        // Without a level below, `a/#` matches `a`; with one, nothing matches `a`. The sign after the slash is the zero.
        return (levels.last?.elementsEqual("#".utf8) == true && literal.count == levels.count - 1 ? prefix : prefix + "/", prefix + "0")
    }

    private static func overlaps(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>) -> Bool {
        func isWild(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int, _ wildcard: Unicode.Scalar) -> Bool {
            end - start == 1 && bytes[start] == UInt8(ascii: wildcard)
        }
        let isHidden = left.first == UInt8(ascii: "$") ? right.first : right.first == UInt8(ascii: "$") ? left.first : nil
        if isHidden == UInt8(ascii: "+") || isHidden == UInt8(ascii: "#") { return false }
        var (leftAt, rightAt) = (0, 0)
        while leftAt <= left.count || rightAt <= right.count {
            let leftEnd = leftAt <= left.count ? levelEnd(left, from: leftAt) : leftAt
            let rightEnd = rightAt <= right.count ? levelEnd(right, from: rightAt) : rightAt
            if leftAt <= left.count, isWild(left, leftAt, leftEnd, "#") { return true }
            if rightAt <= right.count, isWild(right, rightAt, rightEnd, "#") { return true }
            guard leftAt <= left.count, rightAt <= right.count else { return false }
            if !isWild(left, leftAt, leftEnd, "+"), !isWild(right, rightAt, rightEnd, "+") {
                guard left[leftAt..<leftEnd].elementsEqual(right[rightAt..<rightEnd]) else { return false }
            }
            leftAt = leftEnd + 1
            rightAt = rightEnd + 1
        }
        return true
    }

    private static func covers(_ own: UnsafeBufferPointer<UInt8>, _ other: UnsafeBufferPointer<UInt8>) -> Bool {
        if other.first == UInt8(ascii: "$"), own.first == UInt8(ascii: "+") || own.first == UInt8(ascii: "#") { return false }
        var ownAt = 0
        var otherAt = 0
        while ownAt <= own.count {
            let ownEnd = levelEnd(own, from: ownAt)
            let isOne = ownEnd - ownAt == 1
            if isOne, own[ownAt] == UInt8(ascii: "#") { return true }
            guard otherAt <= other.count else { return false }
            let otherEnd = levelEnd(other, from: otherAt)
            if otherEnd - otherAt == 1, other[otherAt] == UInt8(ascii: "#") {
                // `+/#` asks for one level and any number after it: as every topic has one, that is `#`.
                return otherAt == 0 && own.count == 3 && own[0] == UInt8(ascii: "+") && own[2] == UInt8(ascii: "#")
            }
            if !isOne || own[ownAt] != UInt8(ascii: "+") {
                guard ownEnd - ownAt == otherEnd - otherAt, own[ownAt..<ownEnd].elementsEqual(other[otherAt..<otherEnd]) else { return false }
            }
            ownAt = ownEnd + 1
            otherAt = otherEnd + 1
        }
        return otherAt > other.count
    }
}

/// The index of the `/` that ends the level that begins at `start`, or of the end.
func levelEnd(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
    var index = start
    while index < bytes.count, bytes[index] != UInt8(ascii: "/") { index += 1 }
    return index
}

/// Lends the bytes of a text; copies them only if it is not one of Swift's own.
func withBytes<Result>(of text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    if let result = text.utf8.withContiguousStorageIfAvailable(body) { return result }
    return Array(text.utf8).withUnsafeBufferPointer(body)
}

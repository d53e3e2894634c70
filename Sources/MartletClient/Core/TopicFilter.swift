/// Names and filters of topics. They are compared byte by byte, as the server does, and not as people read them.
package enum TopicFilter {
    private static let slash = UInt8(ascii: "/")
    private static let plus = UInt8(ascii: "+")
    private static let hash = UInt8(ascii: "#")

    package static func areSame(_ one: String, _ other: String) -> Bool { one.utf8.elementsEqual(other.utf8) }

    /// Whether a filter (`+`, `#`) matches a topic.
    package static func matches(_ filter: String, _ topic: String) -> Bool {
        if self.areSame(filter, topic) { return true }
        guard let first = filter.utf8.first else { return false }
        if first == self.plus || first == self.hash, topic.utf8.first == UInt8(ascii: "$") { return false }
        let levels = topic.utf8.split(separator: self.slash, omittingEmptySubsequences: false)
        let wanted = filter.utf8.split(separator: self.slash, omittingEmptySubsequences: false)
        for (index, want) in wanted.enumerated() {
            if want.elementsEqual([self.hash]) { return true }
            guard index < levels.count, want.elementsEqual([self.plus]) || want.elementsEqual(levels[index]) else { return false }
        }
        return wanted.count == levels.count
    }

    /// As a query's list has them: a comma ends a name.
    package static func list(_ topics: [String]) -> String {
        topics.map { topic in
            topic.unicodeScalars.reduce(into: "") { $0 += $1 == "%" ? "%25" : $1 == "," ? "%2C" : String($1) }
        }.joined(separator: ",")
    }
}

/// Names and filters of topics.
package enum TopicFilter {
    /// Whether a filter (`+`, `#`) matches a topic.
    package static func matches(_ filter: String, _ topic: String) -> Bool {
        if filter == topic { return true }
        guard let first = filter.first else { return false }
        if first == "+" || first == "#", topic.hasPrefix("$") { return false }
        let levels = topic.split(separator: "/", omittingEmptySubsequences: false)
        let wanted = filter.split(separator: "/", omittingEmptySubsequences: false)
        for (index, want) in wanted.enumerated() {
            if want == "#" { return true }
            guard index < levels.count, want == "+" || want == levels[index] else { return false }
        }
        return wanted.count == levels.count
    }

    /// As a query's list has them: a comma ends a name.
    package static func list(_ topics: [String]) -> String {
        topics.map { $0.replacing("%", with: "%25").replacing(",", with: "%2C") }.joined(separator: ",")
    }
}

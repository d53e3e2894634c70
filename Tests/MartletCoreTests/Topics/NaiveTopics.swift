import MartletTestSupport

/// Topics and filters at random, and what the MQTT standard says of them, written as plainly as can be.
struct NaiveTopics {
    /// Few names, so that they meet often: among them the empty one, one with two forms in Unicode, and ones that begin with `$`.
    static let names = ["a", "b", "", "$s", "é", "e\u{301}", "abc"]

    var dice: SeededRandom

    init(seed: UInt64) { self.dice = SeededRandom(seed: seed) }

    mutating func topic() -> String {
        let levels = Int.random(in: 1...4, using: &self.dice)
        let topic = (0..<levels).map { _ in Self.names.randomElement(using: &self.dice) ?? "a" }.joined(separator: "/")
        return topic.isEmpty ? "a" : topic
    }

    mutating func filter() -> String {
        var levels = self.topic().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        for index in levels.indices where Int.random(in: 0..<3, using: &self.dice) == 0 { levels[index] = "+" }
        if Int.random(in: 0..<3, using: &self.dice) == 0 {
            if Bool.random(using: &self.dice) { levels.removeLast() }
            levels.append("#")
        }
        return levels.joined(separator: "/")
    }

    /// MQTT 5.0 §4.7.1 and §4.7.2.
    static func matches(_ filter: String, _ topic: String) -> Bool {
        if topic.utf8.first == UInt8(ascii: "$"), filter.hasPrefix("+") || filter.hasPrefix("#") { return false }
        func levels(_ text: String) -> [[UInt8]] {
            text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map(Array.init)
        }
        func matches(_ filter: ArraySlice<[UInt8]>, _ topic: ArraySlice<[UInt8]>) -> Bool {
            guard let first = filter.first else { return topic.isEmpty }
            if first == Array("#".utf8) { return true }
            guard let level = topic.first, first == Array("+".utf8) || first == level else { return false }
            return matches(filter.dropFirst(), topic.dropFirst())
        }
        return matches(levels(filter)[...], levels(topic)[...])
    }
}

package import MartletWire

/// Why something cannot be a topic.
package struct TopicProblem: CustomStringConvertible, Sendable {
    /// The end of a sentence that begins with "The topic".
    package var description: String
    /// The limit that was passed, if one was.
    package var limit: Int?

    /// The refusal of it.
    package var error: WireError { WireError(.badRequest, "The topic \(self).", limit: self.limit) }
}

/// Why a topic or filter cannot have this name (MQTT 5.0 §4.7); nil if it can.
///
/// - Parameter wildcards: whether `+` and `#` may stand as whole levels.
package func topicProblem(_ name: String, _ limits: Limits, wildcards: Bool) -> TopicProblem? {
    if let problem = nameProblem(name, limit: limits.topicBytes) {
        return TopicProblem(description: problem, limit: name.utf8.count > limits.topicBytes ? limits.topicBytes : nil)
    }
    if let problem = levelProblem(name, wildcards: wildcards) { return TopicProblem(description: problem) }
    let levels = name.utf8.reduce(1) { $1 == UInt8(ascii: "/") ? $0 + 1 : $0 }
    guard levels > limits.topicLevels else { return nil }
    return TopicProblem(description: "may have \(limits.topicLevels) levels; this has \(levels)", limit: limits.topicLevels)
}

private func levelProblem(_ name: String, wildcards: Bool) -> String? {
    var level = 0
    var hasWildcard = false
    var isEnded = false
    for byte in name.utf8 {
        if byte == UInt8(ascii: "/") {
            if isEnded { return "may have # as the last level only" }
            if hasWildcard, level > 1 { return "may have + and # as whole levels only" }
            level = 0
            hasWildcard = false
            continue
        }
        level += 1
        guard byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#") else { continue }
        guard wildcards else { return "must not hold + or #, which stand for other topics in what is subscribed to" }
        hasWildcard = true
        if byte == UInt8(ascii: "#") { isEnded = true }
    }
    return hasWildcard && level > 1 ? "may have + and # as whole levels only" : nil
}

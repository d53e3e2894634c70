/// Why a topic or filter cannot have this name (MQTT 5.0 §4.7); nil if it can. As the end of a sentence that begins with "The topic".
///
/// - Parameter wildcards: whether `+` and `#` may stand as whole levels.
package func topicProblem(_ name: String, _ limits: Limits, wildcards: Bool) -> String? {
    if let problem = nameProblem(name, limit: limits.topicBytes) { return problem }
    var levels = 1
    var level = 0
    var hasWildcard = false
    var isEnded = false
    for byte in name.utf8 {
        if byte == UInt8(ascii: "/") {
            if isEnded { return "may have # as the last level only" }
            if hasWildcard, level > 1 { return "may have + and # as whole levels only" }
            levels += 1
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
    if hasWildcard, level > 1 { return "may have + and # as whole levels only" }
    guard levels <= limits.topicLevels else { return "may have \(limits.topicLevels) levels; this has \(levels)" }
    return nil
}

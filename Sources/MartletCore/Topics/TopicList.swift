package import MartletWire

/// Topics as a URL names them.
package enum TopicList {
    /// Reads the value of `topics=`: names, or filters, with commas between them. Within one `%2C` stands for a comma and `%25` for a
    /// percent sign, so what is to hold them is encoded twice in a URL. Those named again are left out. Untrusted: any text.
    ///
    /// - Parameter text: once percent-decoded, as query values are.
    /// - Throws: `bad_request` for a name that is none, or a percent sign that begins neither of the two; `too_many_topics`.
    package static func parse(_ text: String, limits: Limits) throws(WireError) -> [TopicFilter] {
        guard !text.isEmpty else { return [] }
        var seen: Set<TopicFilter> = []
        var result: [TopicFilter] = []
        for name in text.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            let filter = try TopicFilter(parsing: try self.unescape(name), limits: limits)
            guard seen.insert(filter).inserted else { continue }
            guard result.count < limits.topicsPerSession else { throw self.tooMany(limits) }
            result.append(filter)
        }
        return result
    }

    /// The refusal of more topics than a session may have.
    package static func tooMany(_ limits: Limits) -> WireError {
        WireError(
            .tooManyTopics, "A session may have \(limits.topicsPerSession) topics: use a filter such as a/#, or a second session.",
            limit: limits.topicsPerSession)
    }

    private static func unescape(_ name: Substring.UTF8View) throws(WireError) -> String {
        guard name.contains(UInt8(ascii: "%")) else { return String(Substring(name)) }
        var output: [UInt8] = []
        output.reserveCapacity(name.count)
        var rest = name
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%") {
                if rest.starts(with: "25".utf8) {
                    output.append(UInt8(ascii: "%"))
                    rest.removeFirst(2)
                    continue
                }
                if rest.starts(with: "2C".utf8) || rest.starts(with: "2c".utf8) {
                    output.append(UInt8(ascii: ","))
                    rest.removeFirst(2)
                    continue
                }
                throw WireError(
                    .badRequest,
                    "Within a name in 'topics' a percent sign is %25 and a comma %2C, each encoded once more in a URL: %2525 and %252C.")
            }
            output.append(byte)
        }
        return String(decoding: output, as: UTF8.self)
    }
}

package import MartletCore
package import MartletWire

/// The options of topics as JSON: `{"history":{"messages":100,"age":86400,"bytes":1048576},"storage":"memory","presence":false,`
/// `"subscribe":"token","publish":"token"}`.
package enum TopicOptionsJSON {
    package static func append(_ options: TopicOptions, to output: inout [UInt8]) {
        var all = TopicOptionsChange()
        all.historyMessages = options.historyMessages
        all.historySeconds = options.historySeconds
        all.historyBytes = options.historyBytes
        all.storage = options.storage
        all.presence = options.presence
        all.subscribe = options.subscribe
        all.publish = options.publish
        self.append(all, to: &output)
    }

    /// Only what it says something of.
    package static func append(_ change: TopicOptionsChange, to output: inout [UInt8]) {
        let history = [("messages", change.historyMessages), ("age", change.historySeconds), ("bytes", change.historyBytes)]
            .compactMap { name, value in value.map { #""\#(name)":\#($0)"# } }
        var members: [String] = []
        if !history.isEmpty { members.append(#""history":{\#(history.joined(separator: ","))}"#) }
        if let storage = change.storage { members.append(#""storage":"\#(storage.rawValue)""#) }
        if let presence = change.presence { members.append(#""presence":\#(presence)"#) }
        if let subscribe = change.subscribe { members.append(#""subscribe":"\#(subscribe.rawValue)""#) }
        if let publish = change.publish { members.append(#""publish":"\#(publish.rawValue)""#) }
        output += Array("{\(members.joined(separator: ","))}".utf8)
    }

    // MARK: Reading

    /// Reads what a back end sets. Untrusted: any bytes.
    ///
    /// - Throws: `invalid_json`, or `bad_request` with a sentence that names the member.
    package static func change(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> TopicOptionsChange {
        var change = TopicOptionsChange()
        var seen: Set<String> = []
        for (key, value) in try JSON.object(in: bytes, maxDepth: 4) {
            let name = try self.name(key, Self.members, "", &seen)
            if value.kind == .null { continue }
            switch name {
            case "history": try self.history(value, into: &change)
            case "storage": change.storage = try self.word(value, name)
            case "presence":
                guard value.kind == .true || value.kind == .false else { throw WireError(.badRequest, #""presence" must be true or false."#) }
                change.presence = value.kind == .true
            case "subscribe": change.subscribe = try self.word(value, name)
            default: change.publish = try self.word(value, name)
            }
        }
        return change
    }

    private static let members = ["history", "storage", "presence", "subscribe", "publish"]

    private static func history(_ value: JSONValue, into change: inout TopicOptionsChange) throws(WireError) {
        guard value.kind == .object else { throw WireError(.badRequest, #""history" must be an object: {"messages":100}."#) }
        var seen: Set<String> = []
        for (key, value) in value.members {
            let name = try self.name(key, ["messages", "age", "bytes"], "history.", &seen)
            if value.kind == .null { continue }
            switch name {
            case "messages": change.historyMessages = try self.number(value, "history.messages", TopicOptions.historyMessagesRange)
            case "age": change.historySeconds = try self.number(value, "history.age", TopicOptions.historySecondsRange)
            default: change.historyBytes = try self.number(value, "history.bytes", TopicOptions.historyBytesRange)
            }
        }
    }

    private static func name(
        _ key: JSONValue, _ known: [String], _ section: String, _ seen: inout Set<String>
    ) throws(WireError) -> String {
        let name = key.string ?? ""
        guard known.contains(name) else {
            throw WireError(
                .badRequest, "\(NameHint.quoted(section + name)) is no option of a namespace\(NameHint.hint(name, known)).")
        }
        guard seen.insert(name).inserted else { throw WireError(.badRequest, "\"\(section)\(name)\" is given twice: leave one out.") }
        return name
    }

    private static func number(_ value: JSONValue, _ name: String, _ range: ClosedRange<Int>) throws(WireError) -> Int {
        guard let number = value.unsigned, number <= UInt64(Int.max), range.contains(Int(number)) else {
            throw WireError(
                .badRequest, "\"\(name)\" must be a whole number from \(range.lowerBound) to \(range.upperBound).", limit: range.upperBound)
        }
        return Int(number)
    }

    private static func word<Word: RawRepresentable<String> & CaseIterable>(_ value: JSONValue, _ name: String) throws(WireError) -> Word {
        guard let text = value.string, let word = Word(rawValue: text) else {
            throw WireError(.badRequest, "\"\(name)\" must be one of \(Word.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        return word
    }
}

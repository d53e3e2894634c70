package import MartletCore
package import MartletProto
package import MartletWire

/// A message as it is published, in the JSON that ``PublishParser`` takes: what a message may be is decided there alone.
package struct DraftMapping {
    let parser: PublishParser

    package init(parser: PublishParser) { self.parser = parser }

    /// - Throws: as the parser does.
    package func request(_ draft: ProtoDraft) throws(WireError) -> AppendRequest { try self.parser.parse(try self.json(draft)) }

    /// - Throws: `invalid_json` for JSON that is none: put into more JSON, it could say what was not checked.
    package func json(_ draft: ProtoDraft) throws(WireError) -> [UInt8] {
        var output = Array(#"{"to":{"#.utf8)
        switch draft.target {
        case .user(let name): Self.append("user", name, to: &output)
        case .users(let names): Self.append("users", names.names, to: &output)
        case .device(let name): Self.append("device", name, to: &output)
        case .devices(let names): Self.append("devices", names.names, to: &output)
        case .topic(let name): Self.append("topic", name, to: &output)
        case .all(let all): output.append(contentsOf: #""all":\#(all)"#.utf8)
        case nil: break
        }
        output.append(UInt8(ascii: "}"))
        func member(_ name: StaticString, _ text: String) {
            guard !text.isEmpty else { return }
            output.append(UInt8(ascii: ","))
            Self.append(name, text, to: &output)
        }
        member("type", draft.type)
        switch draft.data {
        case .json(let text): try self.append("data", json: text, to: &output)
        case .text(let text):
            output.append(UInt8(ascii: ","))
            Self.append("data", text, to: &output)
        case .binary(let bytes):
            output.append(contentsOf: #","dataBase64":""#.utf8)
            Array(bytes).withUnsafeBytes { Base64.append($0, to: &output) }
            output.append(UInt8(ascii: "\""))
        case nil: break
        }
        member("contentType", draft.contentType)
        if !draft.notificationJson.isEmpty { try self.append("notification", json: draft.notificationJson, to: &output) }
        switch draft.priority {
        case .unspecified: break
        case .high: member("priority", "high")
        case .medium: member("priority", "medium")
        case .low: member("priority", "low")
        case .UNRECOGNIZED(let number): throw WireError(.badRequest, "There is no priority \(number).")
        }
        if draft.hasTtlSeconds { output.append(contentsOf: #","ttl":\#(draft.ttlSeconds)"#.utf8) }
        member("collapseKey", draft.collapseKey)
        member("idempotencyKey", draft.idempotencyKey)
        if draft.retain { output.append(contentsOf: #","retain":true"#.utf8) }
        output.append(UInt8(ascii: "}"))
        return output
    }

    private static func append(_ name: StaticString, _ text: String, to output: inout [UInt8]) {
        output.append(contentsOf: "\"\(name)\":".utf8)
        JSON.append(text, to: &output)
    }

    private static func append(_ name: StaticString, _ names: [String], to output: inout [UInt8]) {
        output.append(contentsOf: "\"\(name)\":[".utf8)
        for (index, name) in names.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            JSON.append(name, to: &output)
        }
        output.append(UInt8(ascii: "]"))
    }

    private func append(_ name: StaticString, json text: String, to output: inout [UInt8]) throws(WireError) {
        var bytes = Array(text.utf8)
        // Before it is looked into: the parser says so otherwise.
        guard bytes.count <= self.parser.limits.messageBytes else {
            throw WireError(
                .messageTooLarge, "A message may have \(self.parser.limits.messageBytes) bytes as JSON; this has more.",
                limit: self.parser.limits.messageBytes)
        }
        let checked: Result<[UInt8], WireError> = bytes.withUnsafeBytes { buffer in
            do throws(WireError) {
                return .success(Array(try JSON.value(in: buffer, maxDepth: self.parser.limits.jsonDepth).raw))
            } catch {
                return .failure(error)
            }
        }
        bytes = try checked.get()
        output.append(contentsOf: ",\"\(name)\":".utf8)
        output.append(contentsOf: bytes)
    }
}

import MartletWire

/// What passes the scanner is JSON in all its parts, and its strings survive being written again.
enum JSONTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        do throws(WireError) {
            Self.walk(try JSON.value(in: bytes, maxDepth: 20), depth: 20)
        } catch {
            check(error.code == .invalidJSON || error.code == .badRequest, "refused as \(error.code)")
            checkAnswer(error)
        }
    }

    private static func walk(_ value: JSONValue, depth: Int) {
        guard depth > 0 else { return check(false, "deeper than was allowed") }
        let again = try? JSON.value(in: value.raw, maxDepth: depth)
        check(again?.kind == value.kind && again?.raw.count == value.raw.count, "a part that is not JSON by itself")
        if let text = value.string {
            var written: [UInt8] = []
            JSON.append(text, to: &written)
            let back = written.withUnsafeBytes { try? JSON.value(in: $0, maxDepth: 1).string }
            check(back?.utf8.elementsEqual(text.utf8) == true, "a string that changes when it is written")
        }
        if let number = value.unsigned {
            let text = String(decoding: value.raw, as: UTF8.self)
            check(text.split(separator: ".").first ?? "" == "\(number)", "\(text) is not \(number)")
        }
        for element in value.elements { Self.walk(element, depth: depth - 1) }
        for (key, member) in value.members {
            check(key.kind == .string, "a name that is not a string")
            Self.walk(member, depth: depth - 1)
        }
    }
}

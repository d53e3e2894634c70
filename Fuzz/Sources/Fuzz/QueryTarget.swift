import MartletHTTP
import MartletWire

/// A query says the same when it is written again, and its values are what their endpoints ask for.
enum QueryTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        let query = QueryString(Substring(String(decoding: bytes, as: UTF8.self)))
        check(query.items.count <= QueryString.limit, "too many parameters")
        let again = query.items.map { Self.encoded($0.name) + "=" + Self.encoded($0.value) }.joined(separator: "&")
        check(QueryString(Substring(again)) == query, "\(again) says something else")

        Self.values(query)
    }

    private static func values(_ query: QueryString) {
        let known = ["user", "device", "token", "seq", "hb", "heartbeat", "window", "from"]
        do throws(WireError) {
            try query.allow(known)
            let names = query.items.map(\.name)
            check(Set(names).count == names.count && names.allSatisfy { known.contains($0) || $0 == "_" }, "a parameter slipped in")
        } catch {
            check(error.code == .badRequest, "refused as \(error.code)")
            checkAnswer(error)
        }
        if let user = try? query.name("user", limit: 256) {
            check((1...256).contains(user.utf8.count) && user.unicodeScalars.allSatisfy { $0.value >= 0x20 }, "a wrong name")
        }
        if let window = try? query.number("window", default: 0, 1...1_024), window != 0 {
            check((1...1_024).contains(window) && query["window"]?.hasSuffix("\(window)") == true, "a wrong number")
        }
        if let seq = try? query.seq(lastEventID: query["last"]) { check(query["seq"].flatMap { UInt64($0) } ?? .max <= seq, "a smaller seq") }
        if let heartbeat = try? query.seconds("heartbeat", default: 25_000, 1_000...600_000) {
            check((1_000...600_000).contains(heartbeat), "a wrong heartbeat")
        }
    }

    private static func encoded(_ text: String) -> String {
        let digits = Array("0123456789abcdef")
        return String(text.utf8.flatMap { ["%", digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}

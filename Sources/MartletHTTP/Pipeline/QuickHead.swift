package import NIOHTTP1

/// The head of a plain request, read without NIO's parser: what back ends and clients send a million times.
///
/// It takes only what there is one way to read: a known method, a path, HTTP/1.1, fields of visible ASCII, a body of a stated
/// length. Whatever else comes (chunked bodies, `Expect`, odd spaces, HTTP/1.0, long heads …) is `unusual`, and NIO's parser gets
/// all of it. What it takes, NIO's parser reads the same: `QuickHeadTests` and a fuzzer compare the two.
package enum QuickHead {
    /// The rest must come first.
    case incomplete
    /// For NIO's parser.
    case unusual
    /// - Parameters:
    ///   - bytes: how many of the input the head took.
    ///   - bodyBytes: how many follow as the request's body.
    case head(HTTPRequestHead, bytes: Int, bodyBytes: Int)

    /// Longest head that is read here, in bytes.
    package static let most = 4_096

    /// Looks for the end of a head.
    ///
    /// - Parameter searched: how many of the bytes were looked at before.
    /// - Returns: how many bytes the head takes; nil if its end has not come.
    package static func end(in bytes: UnsafeRawBufferPointer, searched: Int) -> Int? {
        var index = max(3, searched)
        while index < bytes.count {
            if bytes[index] == 0x0a, bytes[index - 1] == 0x0d, bytes[index - 2] == 0x0a, bytes[index - 3] == 0x0d { return index + 1 }
            index += 1
        }
        return nil
    }

    /// - Parameters:
    ///   - bytes: the head, its empty line included.
    ///   - fieldsMost: with more fields it is for NIO's parser.
    package static func parse(_ bytes: UnsafeRawBufferPointer, fieldsMost: Int) -> QuickHead {
        guard bytes.count > 4, let (method, afterMethod) = Self.method(bytes), let (uri, afterURI) = Self.target(bytes, from: afterMethod),
            let afterLine = Self.version(bytes, from: afterURI)
        else { return .unusual }
        var fields: [(String, String)] = []
        fields.reserveCapacity(8)
        var bodyBytes: Int?
        var hasConnection = false
        var index = afterLine
        while index < bytes.count, bytes[index] != 0x0d {
            guard let field = Self.field(bytes, from: index), fields.count < fieldsMost else { return .unusual }
            switch Self.special(bytes[field.name]) {
            case .none: break
            case .length:
                guard bodyBytes == nil, let length = Self.number(bytes[field.value]) else { return .unusual }
                bodyBytes = length
            case .upgrade: guard method == .GET else { return .unusual }
            case .connection:
                guard !hasConnection else { return .unusual }
                hasConnection = true
            case .unusual: return .unusual
            }
            fields.append((String(decoding: bytes[field.name], as: UTF8.self), String(decoding: bytes[field.value], as: UTF8.self)))
            index = field.value.upperBound + 2
        }
        // The empty line is the last.
        guard index + 2 == bytes.count, bytes[index + 1] == 0x0a else { return .unusual }
        let head = HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: HTTPHeaders(fields))
        return .head(head, bytes: bytes.count, bodyBytes: bodyBytes ?? 0)
    }

    // MARK: Request line

    private static func method(_ bytes: UnsafeRawBufferPointer) -> (HTTPMethod, Int)? {
        switch bytes[0] {
        case UInt8(ascii: "G"): Self.begins(bytes, "GET ") ? (.GET, 4) : nil
        case UInt8(ascii: "P"): Self.begins(bytes, "POST ") ? (.POST, 5) : Self.begins(bytes, "PUT ") ? (.PUT, 4) : nil
        case UInt8(ascii: "D"): Self.begins(bytes, "DELETE ") ? (.DELETE, 7) : nil
        case UInt8(ascii: "H"): Self.begins(bytes, "HEAD ") ? (.HEAD, 5) : nil
        case UInt8(ascii: "O"): Self.begins(bytes, "OPTIONS ") ? (.OPTIONS, 8) : nil
        default: nil
        }
    }

    /// - Returns: the target, and where the version begins.
    private static func target(_ bytes: UnsafeRawBufferPointer, from start: Int) -> (String, Int)? {
        guard start < bytes.count, bytes[start] == UInt8(ascii: "/") else { return nil }
        var end = start
        while end < bytes.count, Self.isIn(Self.targetLow, Self.targetHigh, bytes[end]) { end += 1 }
        guard end < bytes.count, bytes[end] == 0x20 else { return nil }
        return (String(decoding: bytes[start..<end], as: UTF8.self), end + 1)
    }

    private static func version(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        let line: StaticString = "HTTP/1.1\r\n"
        guard Self.begins(UnsafeRawBufferPointer(rebasing: bytes[start...]), line) else { return nil }
        return start + line.utf8CodeUnitCount
    }

    private static func begins(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard bytes.count >= count else { return false }
        for index in 0..<count where bytes[index] != text.utf8Start[index] { return false }
        return true
    }

    // MARK: Fields

    /// - Returns: nil for a field that may be read in more than one way.
    private static func field(_ bytes: UnsafeRawBufferPointer, from start: Int) -> (name: Range<Int>, value: Range<Int>)? {
        var colon = start
        while colon < bytes.count, Self.isIn(Self.tokenLow, Self.tokenHigh, bytes[colon]) { colon += 1 }
        guard colon > start, colon + 1 < bytes.count, bytes[colon] == UInt8(ascii: ":") else { return nil }
        var first = colon + 1
        if bytes[first] == 0x20 { first += 1 }
        var end = first
        while end < bytes.count, bytes[end] >= 0x20, bytes[end] < 0x7f { end += 1 }
        guard end > first, end + 2 < bytes.count, bytes[end] == 0x0d, bytes[end + 1] == 0x0a, bytes[first] != 0x20, bytes[end - 1] != 0x20 else {
            return nil
        }
        return (start..<colon, first..<end)
    }

    private enum Special {
        case none, length, upgrade, connection, unusual
    }

    /// What decides how a request ends, by its name.
    private static func special(_ name: Slice<UnsafeRawBufferPointer>) -> Special {
        switch name.count {
        case 14: Self.isSame(name, "content-length") ? .length : .none
        case 10: Self.isSame(name, "connection") ? .connection : .none
        case 7: Self.isSame(name, "upgrade") ? .upgrade : Self.isSame(name, "trailer") ? .unusual : .none
        case 17: Self.isSame(name, "transfer-encoding") ? .unusual : .none
        case 6: Self.isSame(name, "expect") ? .unusual : .none
        case 16: Self.isSame(name, "proxy-connection") ? .unusual : .none
        default: .none
        }
    }

    /// - Parameter other: in small letters.
    private static func isSame(_ name: Slice<UnsafeRawBufferPointer>, _ other: StaticString) -> Bool {
        var index = 0
        for byte in name {
            // Of a token's characters only letters have a pair 0x20 apart that is one too.
            guard byte | 0x20 == other.utf8Start[index] else { return false }
            index += 1
        }
        return true
    }

    private static func number(_ bytes: Slice<UnsafeRawBufferPointer>) -> Int? {
        guard bytes.count <= 15 else { return nil }
        var number = 0
        for byte in bytes {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            number = number * 10 + Int(byte & 0x0f)
        }
        return number
    }

    // MARK: Characters

    // One bit for each of ASCII's characters, in two halves.
    // RFC 9110 §5.6.2: ! # $ % & ' * + - . ^ _ ` | ~, digits and letters.
    private static let tokenLow: UInt64 = 0x03ff_6cfa_0000_0000
    private static let tokenHigh: UInt64 = 0x57ff_ffff_c7ff_fffe
    // RFC 3986 §3.3, §3.4: a path and a query. What parsers let through beyond it is for NIO's.
    private static let targetLow: UInt64 = 0xafff_fff2_0000_0000
    private static let targetHigh: UInt64 = 0x47ff_fffe_87ff_ffff

    @inline(__always)
    private static func isIn(_ low: UInt64, _ high: UInt64, _ byte: UInt8) -> Bool {
        byte < 64 ? low >> UInt64(byte) & 1 != 0 : byte < 128 && high >> UInt64(byte & 63) & 1 != 0
    }
}

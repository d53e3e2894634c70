package import NIOCore
package import NIOHPACK
package import NIOHTTP1

/// Heads of requests and answers between HTTP/2 (RFC 9113 §8) and HTTP/1.1.
package enum HTTP2Head {
    /// A request as the front handler knows it. NIO has checked the fields: no upper case, no line breaks, none of a connection's.
    ///
    /// - Returns: nil if it is malformed.
    package static func request(_ fields: HPACKHeaders, hasBody: Bool) -> HTTPRequestHead? {
        var (method, path, authority): (String?, String?, String?)
        var cookies: String?
        var headers = HTTPHeaders()
        headers.reserveCapacity(fields.count)
        for (name, value, _) in fields {
            switch name {
            case ":method": method = value
            case ":path": path = value
            case ":authority": authority = value
            // They may come in parts (§8.2.3).
            case "cookie": cookies = cookies.map { "\($0); \(value)" } ?? value
            default: if name.utf8.first != UInt8(ascii: ":") { headers.add(name: name, value: value) }
            }
        }
        guard let method, self.isVisible(method), let target = method == "CONNECT" ? authority : path, self.isVisible(target) else { return nil }
        if let cookies { headers.add(name: "cookie", value: cookies) }
        // Another name there makes two fields, which are refused.
        if let authority, headers["host"] != [authority] { headers.add(name: "host", value: authority) }
        let isPlain = ["GET", "HEAD", "CONNECT"].contains(method)
        if hasBody, !isPlain, !headers.contains(name: "content-length") { headers.add(name: "transfer-encoding", value: "chunked") }
        // Without a host it was one of HTTP/1.0 before somebody translated it (§8.3.1).
        let version = headers.contains(name: "host") ? HTTPVersion.http1_1 : .http1_0
        return HTTPRequestHead(version: version, method: HTTPMethod(rawValue: method), uri: target, headers: headers)
    }

    private static func isVisible(_ text: String) -> Bool { !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f } }

    /// The head of an answer.
    package struct Answer {
        package var status: Int
        /// What `Content-Length` says.
        package var length: Int?
        package var fields: HPACKHeaders
    }

    /// Takes the head of an answer off its bytes.
    ///
    /// - Returns: nil if it is not there as a whole.
    package static func answer(_ bytes: inout ByteBuffer) -> Answer? {
        let view = bytes.readableBytesView
        var lines: [Slice<ByteBufferView>] = []
        var start = view.startIndex
        while let end = view[start...].firstIndex(of: 0x0a) {
            let line = Slice(base: view, bounds: start..<max(start, end - 1))
            start = end + 1
            if line.isEmpty {
                bytes.moveReaderIndex(to: start)
                return self.answer(lines)
            }
            lines.append(line)
        }
        return nil
    }

    private static func answer(_ lines: [Slice<ByteBufferView>]) -> Answer {
        // `HTTP/1.1 200 OK`
        let status = lines.first.flatMap { Int(String(decoding: $0.dropFirst(9).prefix(3), as: UTF8.self)) } ?? 500
        var answer = Answer(status: status, length: nil, fields: HPACKHeaders())
        answer.fields.reserveCapacity(lines.count)
        answer.fields.add(name: ":status", value: String(status))
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { continue }
            let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
            // Of a connection, which a stream is not (§8.2.2).
            if ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"].contains(name) { continue }
            let value = String(decoding: line[(colon + 1)...].drop { $0 == 0x20 }, as: UTF8.self)
            if name == "content-length" { answer.length = Int(value) }
            answer.fields.add(name: name, value: value)
        }
        return answer
    }
}

import MartletWire
import NIOCore

/// An HTTP answer on a connection whose HTTP handlers are gone already. It ends the connection.
enum RawResponse {
    /// - Parameter extra: header lines, each with its CRLF.
    static func write(_ error: WireError, extra: String = "", to buffer: inout ByteBuffer) {
        let body = ErrorJSON.buffer(error)
        let retry = error.retryAfterSeconds.map { "retry-after: \($0)\r\n" } ?? ""
        buffer.writeString(
            "HTTP/1.1 \(error.code.status) \(Self.reason(error.code.status))\r\ncontent-type: application/json\r\n"
                + "content-length: \(body.readableBytes)\r\nconnection: close\r\n\(retry)\(extra)\r\n")
        buffer.writeImmutableBuffer(body)
    }

    /// The reason phrase (RFC 9110 §15); nobody may rely on it.
    private static func reason(_ status: Int) -> String {
        switch status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 503: "Service Unavailable"
        default: "Error"
        }
    }
}

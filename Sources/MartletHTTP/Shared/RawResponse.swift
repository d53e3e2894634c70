import MartletWire
import NIOCore

/// An HTTP answer on a connection whose HTTP handlers are gone already. It ends the connection.
enum RawResponse {
    /// - Parameters:
    ///   - extra: header lines, each with its CRLF.
    ///   - body: in the place of the error's JSON, with its content type.
    static func write(_ error: WireError, extra: String = "", body own: (type: String, bytes: ByteBuffer)? = nil, to buffer: inout ByteBuffer) {
        let body = own?.bytes ?? ErrorJSON.buffer(error)
        let retry = error.retryAfterSeconds.map { "retry-after: \($0)\r\n" } ?? ""
        buffer.writeString(
            "HTTP/1.1 \(error.code.status) \(Self.reason(error.code.status))\r\ncontent-type: \(own?.type ?? "application/json")\r\n"
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

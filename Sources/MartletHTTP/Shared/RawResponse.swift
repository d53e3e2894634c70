import MartletWire
import NIOCore

/// An HTTP answer on a connection whose HTTP handlers are gone already. It ends the connection.
enum RawResponse {
    /// - Parameter extra: header lines, each with its CRLF.
    static func write(_ error: WireError, extra: String = "", to buffer: inout ByteBuffer) {
        let body = error.json
        let retry = error.code.isTemporary ? "retry-after: 1\r\n" : ""
        buffer.writeString(
            "HTTP/1.1 \(error.code.status) \(Self.reason(error.code.status))\r\ncontent-type: application/json\r\n"
                + "content-length: \(body.count)\r\nconnection: close\r\n\(retry)\(extra)\r\n")
        buffer.writeBytes(body)
    }

    /// The reason phrase (RFC 9110 §15); nobody may rely on it.
    private static func reason(_ status: Int) -> String {
        switch status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 503: "Service Unavailable"
        default: "Error"
        }
    }
}

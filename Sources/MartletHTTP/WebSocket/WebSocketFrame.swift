package import MartletWire
package import NIOCore

/// What a client's bytes say, as RFC 6455 frames.
package enum WebSocketEvent: Equatable, Sendable {
    /// A whole message; valid UTF-8.
    case text(ByteBuffer)
    case binary(ByteBuffer)
    /// Comes even between the fragments of a message. At most 125 bytes, to be echoed in a pong.
    case ping(ByteBuffer)
    case pong(ByteBuffer)
    /// The client's close frame; nothing comes after it. The code is nil if it gave none.
    case close(code: UInt16?, reason: String)
}

/// Why a client's bytes were refused. The connection must be closed with ``code``.
package struct WebSocketError: Error, Equatable, Sendable {
    /// 1002, 1007 or 1009.
    package var code: CloseCode
    /// For the close frame and the operator's log.
    package var reason: String

    package init(_ code: CloseCode, _ reason: String) {
        self.code = code
        self.reason = reason
    }
}

/// The kinds of frames (RFC 6455 §5.2).
package enum WebSocketOpcode: UInt8, Sendable {
    case continuation = 0x0
    case text = 0x1
    case binary = 0x2
    case close = 0x8
    case ping = 0x9
    case pong = 0xa

    var isControl: Bool { self.rawValue >= 0x8 }
}

/// Whether a close frame may carry a code (RFC 6455 §7.4 and IANA's registry): those for the wire, and 3000 to 4999.
func isValidCloseCode(_ code: UInt16) -> Bool {
    switch code {
    case 1000...1003, 1007...1014, 3000...4999: true
    default: false
    }
}

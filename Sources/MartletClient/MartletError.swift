/// What went wrong: a code for programs, a sentence for people.
public struct MartletError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The server's error codes (docs/protocol.md), and those of the client itself.
    public struct Code: RawRepresentable, Hashable, Sendable, ExpressibleByStringLiteral {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public init(stringLiteral value: String) { self.rawValue = value }

        /// Nothing, or something that is no Martlet server, answered at the address.
        public static let unreachable: Code = "unreachable"
        /// The token is not good, and neither was the one that the closure gave next.
        public static let unauthorized: Code = "unauthorized"
        /// The token's time is over.
        public static let tokenExpired: Code = "token_expired"
        /// The token closure threw, or gave nothing.
        public static let tokenFailed: Code = "token_failed"
        /// The token or the namespace does not allow it.
        public static let forbidden: Code = "forbidden"
        /// Another session uses the same device.
        public static let takenOver: Code = "taken_over"
        /// The back end ended the session.
        public static let disconnected: Code = "disconnected"
        /// The server ended the session and does not want it back.
        public static let closed: Code = "closed"
        /// Too many publishes wait for a connection.
        public static let queueFull: Code = "queue_full"
        /// The cursor is none of the server's.
        public static let invalidCursor: Code = "invalid_cursor"
        /// The message is larger than the server takes.
        public static let messageTooLarge: Code = "message_too_large"
        /// The store of the position could not be read.
        public static let storeFailed: Code = "store_failed"
    }

    /// What it is, for programs.
    public var code: Code
    /// What to do, for people; may change.
    public var message: String
    /// The close code of the session that ended, if one did.
    public var closeCode: Int?
    /// When the server asks to be tried again, in milliseconds.
    public var retryAfterMs: Int64?

    public init(_ code: Code, _ message: String, closeCode: Int? = nil, retryAfterMs: Int64? = nil) {
        self.code = code
        self.message = message
        self.closeCode = closeCode
        self.retryAfterMs = retryAfterMs
    }

    public var description: String { "\(self.code.rawValue): \(self.message)" }

    /// Whether the same thing may succeed later.
    public var isTemporary: Bool { Self.temporary.contains(self.code) }

    /// Whether a new token may help.
    package var isOfToken: Bool { self.code == .unauthorized || self.code == .tokenExpired }

    private static let temporary: Set<Code> = [
        "too_many_sessions", "too_many_connections", "rate_limited", "request_timeout", "internal_error", "store_unavailable",
        "keys_unavailable", "draining", "unreachable",
    ]

    /// The error that a close code stands for.
    package static func closed(_ code: Int, _ reason: String) -> MartletError {
        let why = reason.isEmpty ? "" : " (\(reason))"
        switch code {
        case 4500: return MartletError(.takenOver, "Another session uses this device. Give each installation a device of its own.", closeCode: code)
        case 4501, 4002: return MartletError(.unauthorized, "The server refused the token\(why).", closeCode: code)
        case 4502: return MartletError(.disconnected, "The back end ended the session: sign in again.", closeCode: code)
        default: return MartletError(.closed, "The server ended the session with \(code)\(why).", closeCode: code)
        }
    }
}

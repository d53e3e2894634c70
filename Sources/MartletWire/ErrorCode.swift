/// The catalogue of errors that an HTTP answer or an error frame can carry.
///
/// As JSON: `{"error":{"code":"message_too_large","message":"…","limit":65536}}`. The code is for programs and
/// stays as it is for years; the message is for people and may change. Listed with its meaning in docs/protocol.md.
public enum ErrorCode: String, CaseIterable, Sendable {
    /// The request or frame is not what its schema says.
    case badRequest = "bad_request"
    /// The body is not JSON (RFC 8259), or a line of an NDJSON batch is not.
    case invalidJSON = "invalid_json"
    /// A cursor that Martlet never gave out.
    case invalidCursor = "invalid_cursor"
    /// A sequence number beyond what this device was ever sent.
    case seqUnknown = "seq_unknown"
    /// Nothing says who is asking.
    case unauthorized = "unauthorized"
    /// The token's time is over: get a new one.
    case tokenExpired = "token_expired"
    /// Known, but not allowed.
    case forbidden = "forbidden"
    /// No such path or message.
    case notFound = "not_found"
    case methodNotAllowed = "method_not_allowed"
    /// The idempotency key was used within 24 hours for another message.
    case idempotencyConflict = "idempotency_conflict"
    /// The session named by an ack is not live, or is another device's.
    case sessionUnknown = "session_unknown"
    case messageTooLarge = "message_too_large"
    case batchTooLarge = "batch_too_large"
    case headerTooLarge = "header_too_large"
    case unsupportedMediaType = "unsupported_media_type"
    /// A WebSocket upgrade that asks for another version than 13.
    case upgradeRequired = "upgrade_required"
    case tooManyDevices = "too_many_devices"
    /// The session has as many subscriptions as one may have.
    case tooManyTopics = "too_many_topics"
    /// The user has as many live sessions as one user may have.
    case tooManySessions = "too_many_sessions"
    /// The server, or the asker's address or app, has as many connections as it may have.
    case tooManyConnections = "too_many_connections"
    /// More in a second than is allowed: try again after `Retry-After`.
    case rateLimited = "rate_limited"
    /// The request did not arrive in time.
    case requestTimeout = "request_timeout"
    case internalError = "internal_error"
    /// The store cannot write now (disk full, read-only). The publish was not stored: try again.
    case storeUnavailable = "store_unavailable"
    /// The keys that check tokens could not be fetched yet: try again in a moment.
    case keysUnavailable = "keys_unavailable"
    /// The URL behind this path did not answer as it should, and there is no earlier answer.
    case upstreamFailed = "upstream_failed"
    /// The URL behind this path did not answer in time, and there is no earlier answer.
    case upstreamTimeout = "upstream_timeout"
    /// The server is shutting down: try again, another process will answer.
    case draining

    /// The HTTP status that goes with it.
    public var status: Int {
        switch self {
        case .badRequest, .invalidJSON, .invalidCursor, .seqUnknown: 400
        case .unauthorized, .tokenExpired: 401
        case .forbidden, .tooManyDevices, .tooManyTopics: 403
        case .notFound, .sessionUnknown: 404
        case .methodNotAllowed: 405
        case .requestTimeout: 408
        case .idempotencyConflict: 409
        case .messageTooLarge, .batchTooLarge: 413
        case .unsupportedMediaType: 415
        case .upgradeRequired: 426
        case .tooManySessions, .rateLimited: 429
        case .headerTooLarge: 431
        case .internalError: 500
        case .upstreamFailed: 502
        case .storeUnavailable, .keysUnavailable, .draining, .tooManyConnections: 503
        case .upstreamTimeout: 504
        }
    }

    /// Whether the same request may succeed later.
    public var isTemporary: Bool {
        switch self {
        case .internalError, .storeUnavailable, .keysUnavailable, .draining, .requestTimeout, .rateLimited, .tooManyConnections, .tooManySessions,
            .upstreamFailed, .upstreamTimeout:
            true
        default: false
        }
    }
}

/// An error for the other side: what went wrong, and what to do about it.
public struct WireError: Error, Equatable, Sendable {
    public var code: ErrorCode
    /// One sentence for people. Holds nothing that the asker did not send or may not know.
    public var message: String
    /// The limit that was passed, in the unit that the message names.
    public var limit: Int?
    /// When the same request may succeed, in milliseconds from now, if that is known.
    public var retryAfterMs: Int64?

    public init(_ code: ErrorCode, _ message: String, limit: Int? = nil, retryAfterMs: Int64? = nil) {
        self.code = code
        self.message = message
        self.limit = limit
        self.retryAfterMs = retryAfterMs
    }

    /// For `Retry-After` (RFC 9110 §10.2.3), rounded up; nil if trying again makes no sense.
    public var retryAfterSeconds: Int64? {
        guard self.code.isTemporary else { return nil }
        return self.retryAfterMs.map { max(1, ($0 + 999) / 1_000) } ?? 1
    }
}

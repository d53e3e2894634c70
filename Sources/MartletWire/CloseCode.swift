/// Why the server ended a session. As a WebSocket close code (RFC 6455 §7.4) and as the data of an SSE `close` event.
///
/// 1000 to 1015 are the protocol's own. Of ours, 4000 to 4499 mean "connect again", 4500 to 4999 mean "do not".
public enum CloseCode: UInt16, CaseIterable, Sendable {
    case normal = 1000
    case goingAway = 1001
    case protocolError = 1002
    case unsupportedData = 1003
    case invalidUTF8 = 1007
    case policyViolation = 1008
    case tooBig = 1009
    case internalError = 1011
    /// The server is restarting: connect again after the time in the `drain` frame.
    case serviceRestart = 1012
    /// Nothing was heard from the client for twice the heartbeat interval.
    case heartbeatTimeout = 4000
    /// The store cannot be read now.
    case storeUnavailable = 4001
    /// The token's time is over: connect again with a new one.
    case tokenExpired = 4002
    /// Another session of the same device took over. The client must not come back by itself.
    case takenOver = 4500
    /// The first frame or the URL was refused; the reason says why.
    case refused = 4501
    /// The back end ended the session, or took back the token.
    case disconnected = 4502

    /// Whether the client should connect again by itself.
    public var reconnect: Bool {
        switch self {
        case .goingAway, .internalError, .serviceRestart, .heartbeatTimeout, .storeUnavailable, .tokenExpired: true
        default: false
        }
    }

    /// The short text that travels with the code.
    public var reason: String {
        switch self {
        case .normal: "normal"
        case .goingAway: "going away"
        case .protocolError: "protocol error"
        case .unsupportedData: "unsupported data"
        case .invalidUTF8: "invalid UTF-8"
        case .policyViolation: "policy violation"
        case .tooBig: "too big"
        case .internalError: "internal error"
        case .serviceRestart: "service restart"
        case .heartbeatTimeout: "heartbeat timeout"
        case .storeUnavailable: "store unavailable"
        case .takenOver: "taken over"
        case .tokenExpired: "token expired"
        case .refused: "refused"
        case .disconnected: "disconnected"
        }
    }
}

extension ErrorCode {
    /// What ends a session that this error refuses or ends, where no HTTP status can say it any more. docs/protocol.md lists them.
    package var close: CloseCode {
        switch self {
        case .tokenExpired: .tokenExpired
        case .draining: .serviceRestart
        // Nothing was heard from the client in time; it may have been the network.
        case .requestTimeout: .heartbeatTimeout
        case .unauthorized, .forbidden, .tooManyDevices: .refused
        case .messageTooLarge, .batchTooLarge: .tooBig
        case .internalError: .internalError
        case _ where self.isTemporary: .storeUnavailable
        default: .policyViolation
        }
    }
}

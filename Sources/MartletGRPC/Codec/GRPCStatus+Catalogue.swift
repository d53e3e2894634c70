package import MartletWire

/// The one table from our errors and close codes to gRPC's status codes; docs/grpc.md has it for readers.
extension ErrorCode {
    package var grpc: GRPCCode {
        switch self {
        case .badRequest, .invalidJSON, .invalidCursor, .seqUnknown, .unsupportedMediaType, .upgradeRequired: .invalidArgument
        case .unauthorized, .tokenExpired: .unauthenticated
        case .forbidden: .permissionDenied
        case .notFound, .sessionUnknown: .notFound
        case .methodNotAllowed: .unimplemented
        case .idempotencyConflict: .alreadyExists
        case .messageTooLarge, .batchTooLarge, .headerTooLarge, .tooManyDevices, .tooManyTopics, .tooManySessions, .tooManyConnections,
            .rateLimited:
            .resourceExhausted
        case .requestTimeout: .deadlineExceeded
        case .internalError: .internal
        case .storeUnavailable, .keysUnavailable, .draining, .upstreamFailed, .upstreamTimeout: .unavailable
        }
    }

    /// What a session's end that has this reason is called; the same as a WebSocket's.
    package var close: CloseCode {
        switch self {
        case .tokenExpired: .tokenExpired
        case .draining: .serviceRestart
        // Nothing was heard from the client in time; it may have been the network.
        case .requestTimeout: .heartbeatTimeout
        case .unauthorized, .forbidden, .tooManyDevices: .refused
        case .messageTooLarge: .tooBig
        case _ where self.isTemporary: .storeUnavailable
        default: .policyViolation
        }
    }
}

extension CloseCode {
    package var grpc: GRPCCode {
        switch self {
        case .normal: .ok
        case .goingAway, .serviceRestart, .heartbeatTimeout, .storeUnavailable: .unavailable
        case .protocolError, .unsupportedData, .invalidUTF8, .policyViolation: .invalidArgument
        case .tooBig: .resourceExhausted
        case .internalError: .internal
        case .tokenExpired: .unauthenticated
        case .takenOver: .aborted
        case .refused, .disconnected: .permissionDenied
        }
    }
}

extension GRPCStatus {
    package init(_ error: WireError) {
        self.init(error.code.grpc, error.message)
        self.error = error.code
        self.limit = error.limit
        self.retryAfterMs = error.code.isTemporary ? error.retryAfterMs ?? Self.retryMs : nil
    }

    /// When an error that passes says nothing else, in milliseconds.
    private static let retryMs: Int64 = 1_000

    package init(_ close: CloseCode, retryAfterMs: Int64?) {
        self.init(close.grpc, close.reason)
        self.close = close
        if close.reconnect { self.retryAfterMs = retryAfterMs }
    }
}

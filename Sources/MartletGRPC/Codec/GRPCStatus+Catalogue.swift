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

    /// With the close code of a call that ended before its session could say one. Without one it may have been the network.
    package var ofSession: GRPCStatus {
        guard self.close == nil else { return self }
        var status = self
        switch (self.error, self.code) {
        case (let error?, _): status.close = error.close
        // What is no session of ours does not become one by coming back.
        case (nil, .internal), (nil, .invalidArgument), (nil, .unimplemented): status.close = .protocolError
        case (nil, _): break
        }
        return status
    }
}

import Logging

/// Says once a minute how much was refused, and why: one line, however many tried.
struct RefusalLog: Sendable {
    private let instruments: Instruments
    private let logger: Logger

    /// What an operator may have to do something about; the others are their senders' mistakes. Connections that are
    /// refused have lines of their own.
    static let reasons: Set<String> = [
        "too_many_sessions", "too_many_devices", "rate_limited", "request_timeout",
        "header_too_large", "unauthorized", "token_expired", "forbidden", "store_unavailable", "internal_error",
    ]

    init(_ instruments: Instruments, logger: Logger) {
        self.instruments = instruments
        self.logger = logger
    }

    /// Runs until it is cancelled; says the rest then.
    func run() async {
        var known: [String: Int64] = [:]
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(60))
            known = self.report(since: known)
        }
    }

    /// - Returns: the counts by now.
    func report(since known: [String: Int64]) -> [String: Int64] {
        let counts = self.instruments.refusals
        var metadata: Logger.Metadata = [:]
        for (reason, count) in counts where Self.reasons.contains(reason) {
            let new = count - (known[reason] ?? 0)
            if new > 0 { metadata[reason] = "\(new)" }
        }
        if !metadata.isEmpty { self.logger.warning("refused in the last minute", metadata: metadata) }
        return counts
    }
}

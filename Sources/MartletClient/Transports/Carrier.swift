/// An HTTP request.
package struct CarrierRequest: Sendable {
    package var method = "GET"
    /// Path and query.
    package var target: String
    package var headers: [(String, String)] = []
    package var body: [UInt8] = []
    package init(_ method: String = "GET", _ target: String, headers: [(String, String)] = [], body: [UInt8] = []) {
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
    }
}

/// An HTTP answer.
package struct CarrierAnswer: Sendable {
    /// The longest body that is read, in bytes.
    package static let mostBytes = 16_777_216

    package var status: Int
    package var contentType: String?
    package var retryAfter: String?
    package var body: [UInt8] = []
    package init(status: Int, contentType: String? = nil, retryAfter: String? = nil, body: [UInt8] = []) {
        self.status = status
        self.contentType = contentType
        self.retryAfter = retryAfter
        self.body = body
    }

    /// What a refusal means.
    package var end: SessionEnd {
        let retryAfterMs = self.retryAfter.flatMap { Int64($0) }.map { max(0, min($0, 3_600)) * 1_000 }
        guard var error = FrameCoding.error(inAnswer: self.body) else { return .foreign(self.status, retryAfterMs: retryAfterMs) }
        error.retryAfterMs = error.retryAfterMs ?? retryAfterMs
        return .refused(error)
    }
}

/// What the platform's network does for the transports. All of it ends soon when the task is cancelled, and throws ``SessionEnd``.
package protocol Carrier: Sendable {
    /// Sends a request and reads the whole answer.
    func request(_ server: ServerAddress, _ request: CarrierRequest) async throws(SessionEnd) -> CarrierAnswer

    /// Sends a request and hands on the body of a 200 as it comes; returns at its end. Any other answer is returned with its body.
    func stream(
        _ server: ServerAddress, _ request: CarrierRequest, receive: @escaping @Sendable ([UInt8]) async throws(SessionEnd) -> Void
    ) async throws(SessionEnd) -> CarrierAnswer

    /// Opens a WebSocket, sends the texts that `send` gives until there are no more, and hands on what comes.
    ///
    /// - Returns: the server's close code and reason.
    func webSocket(
        _ server: ServerAddress, _ request: CarrierRequest, send: @escaping @Sendable () async -> [[UInt8]]?,
        receive: @escaping @Sendable ([UInt8]) async throws(SessionEnd) -> Void
    ) async throws(SessionEnd) -> (code: Int, reason: String)

    func shutdown() async
}

extension Carrier {
    package func shutdown() async {}
}

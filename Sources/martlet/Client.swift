import AsyncHTTPClient
import MartletWire
import NIOCore
import NIOHTTP1

/// Why a request did not do what it should.
struct ClientError: Error {
    /// A sentence that says what to do.
    var message: String
    /// Whether the same request may succeed later.
    var isTemporary: Bool
    /// The server's own code, if it gave one.
    var code: String?
    /// When it asked to be tried again, in milliseconds.
    var retryAfterMs: Int64?
}

/// HTTP with errors for people.
struct Client: Sendable {
    let http: HTTPClient
    let server: Endpoint
    /// The key or token to show; asked for at each request, because a file may hold a newer one.
    private let credential: @Sendable () throws -> String?

    /// What to say when nothing was shown and something is needed.
    private let hint: String?

    /// The longest answer that is read, in bytes.
    private static let maxAnswer = 16 * 1_024 * 1_024

    /// - Parameter silence: time without a byte after which a connection counts as lost.
    init(
        _ server: Endpoint, silence: TimeAmount, hint: String? = nil, credential: @escaping @Sendable () throws -> String? = { nil }
    ) {
        self.credential = credential
        self.hint = hint
        var configuration = HTTPClient.Configuration()
        configuration.timeout.connect = .seconds(5)
        configuration.timeout.read = silence
        // Retries are ours, so that the first failure can be told at once.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        self.http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        self.server = server
    }

    /// Sends a body and reads the whole answer of a 2xx.
    func post(_ url: String, contentType: String, _ body: [UInt8], headers: [(String, String)] = []) async throws
        -> ByteBuffer
    {
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: contentType)
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        request.body = .bytes(ByteBuffer(bytes: body))
        let response = try await self.execute(request)
        do {
            return try await response.body.collect(upTo: Self.maxAnswer)
        } catch let error as ClientError {
            throw error
        } catch {
            try Task.checkCancellation()
            throw ClientError(message: "the answer of \(self.server) broke off (\(error))", isTemporary: true)
        }
    }

    /// Sends a request; the answer's body has not been read.
    ///
    /// - Parameter accepting: a further status that is no error.
    /// - Throws: ``ClientError`` for everything but 2xx, `CancellationError`.
    func execute(_ request: HTTPClientRequest, accepting: UInt? = nil) async throws -> HTTPClientResponse {
        var request = request
        if let credential = try self.credential() { request.headers.add(name: "Authorization", value: "Bearer \(credential)") }
        let response: HTTPClientResponse
        do {
            response = try await self.http.execute(request, deadline: .distantFuture)
        } catch {
            try Task.checkCancellation()
            throw self.unreachable(error)
        }
        guard (200..<300).contains(response.status.code) || response.status.code == accepting else { throw await self.refusal(response) }
        return response
    }

    func shutdown() async {
        try? await self.http.shutdown()
    }

    private func unreachable(_ error: any Error) -> ClientError {
        if let error = error as? HTTPClientError, error == .invalidURL || error == .emptyHost {
            return ClientError(
                message: "\(self.server) is not an address: give --url http://HOST:PORT", isTemporary: false)
        }
        if let error = error as? HTTPClientError, error == .readTimeout {
            return ClientError(message: "nothing was heard from \(self.server) for too long", isTemporary: true)
        }
        if let error = error as? HTTPClientError, error == .remoteConnectionClosed {
            return ClientError(message: "\(self.server) closed the connection", isTemporary: true)
        }
        return ClientError(
            message: "cannot reach \(self.server): is it running? Start it with: make run, or: martlet serve --dev",
            isTemporary: true)
    }

    private func refusal(_ response: HTTPClientResponse) async -> ClientError {
        let status = response.status.code
        var error = ClientError(
            message: "\(self.server) answered \(status)", isTemporary: status >= 500 || status == 429 || status == 408)
        if let seconds = response.headers.first(name: "Retry-After").flatMap({ Int64($0) }), seconds >= 0 {
            error.retryAfterMs = min(seconds, 3_600) * 1_000
        }
        guard let body = try? await response.body.collect(upTo: 65_536), let (code, message) = ServerError.read(body)
        else {
            error.message += status == 404 ? ": is there a Martlet server at this --url?" : ""
            return error
        }
        error.code = code
        error.message = message
        if status == 401, let hint = self.hint, (try? self.credential()) == nil { error.message = hint }
        return error
    }
}

/// `{"error":{"code":"…","message":"…"}}`.
enum ServerError {
    static func read(_ body: ByteBuffer) -> (code: String, message: String)? {
        body.withUnsafeReadableBytes { bytes in
            guard let members = try? JSON.object(in: bytes, maxDepth: 8) else { return nil }
            return self.read(members)
        }
    }

    static func read(_ members: [(key: JSONValue, value: JSONValue)]) -> (code: String, message: String)? {
        guard let error = members.first(where: { $0.key.equals("error") })?.value.members else { return nil }
        guard let code = error.first(where: { $0.key.equals("code") })?.value.string else { return nil }
        return (code, error.first { $0.key.equals("message") }?.value.string ?? code)
    }
}

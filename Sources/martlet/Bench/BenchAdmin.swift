import AsyncHTTPClient
import MartletWire
import NIOCore
import NIOHTTP1

/// What a scenario sets up over the API before it measures.
struct BenchAdmin {
    /// Messages of one request.
    private static let batch = 1_000

    private let client: Client

    init(_ run: BenchRun) {
        let key = run.options.key
        self.client = Client(run.options.server.url, silence: .seconds(60)) { try key.credential() }
    }

    func shutdown() async { await self.client.shutdown() }

    /// Runs while the topics of a namespace keep what is published.
    static func keeping<Result>(_ messages: Int, in namespace: String, _ run: BenchRun, _ body: (BenchAdmin) async throws -> Result) async throws
        -> Result
    {
        let admin = BenchAdmin(run)
        do {
            let options = #"{"history":{"messages":\#(messages),"age":3600,"bytes":\#(max(1_048_576, messages * 4_096))}}"#
            try await admin.send(.PUT, "/v1/namespaces/\(namespace)", Array(options.utf8))
            let result = try await body(admin)
            try await admin.send(.DELETE, "/v1/namespaces/\(namespace)", nil)
            await admin.shutdown()
            return result
        } catch {
            // What counts is the first error.
            try? await admin.send(.DELETE, "/v1/namespaces/\(namespace)", nil)
            await admin.shutdown()
            throw error
        }
    }

    /// Publishes to inboxes, in batches.
    ///
    /// - Parameters:
    ///   - count: how many.
    ///   - message: the user and the number of each.
    func fill(_ count: Int, payload: Int, message: (Int) -> (user: String, number: Int), progress: (Int) -> Void) async throws {
        var done = 0
        while done < count {
            let next = min(count, done + Self.batch)
            var body: [UInt8] = []
            for index in done..<next {
                let (user, number) = message(index)
                body += #"{"to":{"user":"\#(user)"},"data":"#.utf8
                Stamp(time: LoadLoop.now(), number: number, stream: 1).append(to: &body, length: payload)
                body += "}\n".utf8
            }
            let answer = try await self.client.post(self.client.server.url("/v1/messages"), contentType: "application/x-ndjson", body)
            let text = String(buffer: answer)
            if let error = text.split(separator: "\n").first(where: { $0.contains("\"error\"") }) {
                throw ClientError(message: "a message was refused: \(error)", isTemporary: false)
            }
            done = next
            progress(done)
        }
    }

    private func send(_ method: HTTPMethod, _ path: String, _ body: [UInt8]?) async throws {
        var request = HTTPClientRequest(url: self.client.server.url(path))
        request.method = method
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: body))
        }
        _ = try await self.client.execute(request).body.collect(upTo: 1 << 20)
    }
}

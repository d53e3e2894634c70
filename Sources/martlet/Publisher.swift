import MartletWire
import NIOCore

/// Sends batches, and those that failed for a time again, until all are stored or refused.
struct Publisher {
    struct Message {
        /// Its line in the input; 0 if it was given as an argument.
        var line: Int
        var body: [UInt8]
    }

    /// Messages and bytes of one request; well below the server's limits.
    static let maxBatch = 1_000
    static let maxBatchBytes = 2_097_152

    private enum Outcome {
        case stored(id: String)
        case refused(ClientError)
    }

    let client: Client
    /// How long to go on trying one batch.
    let retrySeconds: Int

    init(client: Client, retrySeconds: Int) {
        self.client = client
        self.retrySeconds = retrySeconds
    }

    /// Sends messages in their order and prints the ids of those that were stored.
    ///
    /// - Returns: whether all were.
    /// - Throws: ``ClientError`` once the server could not be reached for too long, ``Output/Closed``.
    mutating func publish(_ messages: [Message]) async throws -> Bool {
        guard !messages.isEmpty else { return true }
        var outcomes = [Outcome?](repeating: nil, count: messages.count)
        var waiting = Array(messages.indices)
        var backoff = Backoff()
        let deadline = ContinuousClock.now + .seconds(self.retrySeconds)
        while true {
            var failure: ClientError?
            do {
                let results = try await self.send(waiting.map { messages[$0] })
                var done = 0
                for (index, result) in zip(waiting, results) {
                    if case .refused(let error) = result, error.isTemporary {
                        failure = error
                        break
                    }
                    outcomes[index] = result
                    done += 1
                }
                // Also those behind it that were stored: with their keys they only get their ids again.
                waiting.removeFirst(done)
            } catch let error as ClientError where error.isTemporary {
                failure = error
            }
            guard let failure, !waiting.isEmpty else { break }
            let milliseconds = backoff.next(least: failure.retryAfterMs ?? 0)
            guard ContinuousClock.now + .milliseconds(milliseconds) < deadline else {
                for index in waiting { outcomes[index] = .refused(failure) }
                break
            }
            Output.status("\(failure.message); trying again in \(milliseconds) ms")
            try await pause(milliseconds: milliseconds)
        }
        return try self.report(messages, outcomes)
    }

    private func report(_ messages: [Message], _ outcomes: [Outcome?]) throws -> Bool {
        var all = true
        for (message, outcome) in zip(messages, outcomes) {
            switch outcome {
            case .stored(let id): try Output.line(id.utf8)
            case .refused(let error):
                all = false
                let code = error.code.map { "\($0): " } ?? ""
                Output.status((message.line > 0 ? "line \(message.line): " : "") + code + error.message)
            case nil: all = false
            }
        }
        return all
    }

    /// One request with one result for each message, in order.
    private func send(_ messages: [Message]) async throws -> [Outcome] {
        var body: [UInt8] = []
        body.reserveCapacity(messages.reduce(0) { $0 + $1.body.count + 1 })
        // Data given as an argument may hold line breaks, which a batch cannot.
        let isArgument = messages.count == 1 && messages[0].line == 0
        for message in messages {
            body += message.body
            if !isArgument { body.append(0x0a) }
        }
        let answer = try await self.client.post(
            self.client.server.url("/v1/messages"), contentType: isArgument ? "application/json" : "application/x-ndjson",
            body)
        let results = answer.withUnsafeReadableBytes { bytes in
            bytes.split(separator: 0x0a).map { Self.outcome(UnsafeRawBufferPointer(rebasing: $0)) }
        }
        guard results.count == messages.count else {
            throw ClientError(
                message: "\(self.client.server) answered \(messages.count) messages with \(results.count) results",
                isTemporary: true)
        }
        return results
    }

    private static func outcome(_ line: UnsafeRawBufferPointer) -> Outcome {
        let members = (try? JSON.object(in: line, maxDepth: 8)) ?? []
        if let id = members.first(where: { $0.key.equals("id") })?.value.string { return .stored(id: id) }
        guard let (code, message) = ServerError.read(members) else {
            return .refused(ClientError(message: "the server's answer was not understood", isTemporary: false))
        }
        return .refused(
            ClientError(message: message, isTemporary: ErrorCode(rawValue: code)?.isTemporary ?? false, code: code))
    }
}

import AsyncHTTPClient
import MartletWire
import NIOCore
import NIOHTTP1

/// Prints what a device gets, over as many connections as it takes.
struct Subscriber: Sendable {
    static let heartbeatSeconds: Int64 = 20

    let client: Client
    let progress: Progress
    let user: String?
    let device: String?
    /// Names and filters.
    let topics: [String]
    let since: String?
    /// Messages still to print; nil without end.
    var count: Int?
    let raw: Bool

    /// Why a connection is over.
    private enum End: Error {
        /// All that was asked for is printed, or nobody reads it.
        case done
        /// Connect again; not before this many milliseconds.
        case again(String, afterMs: Int64)
        case failed(ClientError)
    }

    /// Runs until it is done or cancelled.
    ///
    /// - Parameter cursor: where to go on; nil leaves it to the server.
    /// - Returns: why it cannot go on; nil if it is done.
    mutating func run(from cursor: String?) async -> ClientError? {
        var backoff = Backoff()
        var lastID: String?
        while !Task.isCancelled {
            do {
                let query = [
                    ("user", self.user), ("device", self.device), ("heartbeat", String(Self.heartbeatSeconds)),
                    ("cursor", lastID == nil ? cursor : nil), ("topics", self.topicList), ("since", self.since),
                ]
                var request = HTTPClientRequest(url: self.client.server.url("/v1/sse", query))
                request.headers.add(name: "Accept", value: "text/event-stream")
                if let lastID { request.headers.add(name: "Last-Event-ID", value: lastID) }
                let response = try await self.client.execute(request)
                guard response.status.code == 200 else { return Self.takenOver }
                try await self.read(response, &lastID, &backoff)
            } catch let end as End {
                switch end {
                case .done: return nil
                case .failed(let error): return error
                case .again(let why, let afterMs): await Self.wait(why, backoff.next(least: afterMs))
                }
            } catch let error as ClientError {
                guard error.isTemporary else { return self.explained(error) }
                await Self.wait(error.message, backoff.next(least: error.retryAfterMs ?? 0))
            } catch {
                return nil
            }
        }
        return nil
    }

    /// As the query names them: with commas between, so those within are written otherwise.
    private var topicList: String? {
        guard !self.topics.isEmpty else { return nil }
        return self.topics.map { topic in
            topic.unicodeScalars.reduce(into: "") { $0 += $1 == "%" ? "%25" : $1 == "," ? "%2C" : String($1) }
        }.joined(separator: ",")
    }

    private static let takenOver = ClientError(
        message: "another session of this device took over; start again to take it back", isTemporary: false)

    private func explained(_ error: ClientError) -> ClientError {
        var error = error
        if error.code == ErrorCode.invalidCursor.rawValue, let file = self.progress.file {
            error.message += " It came from \(file): remove that file."
        }
        return error
    }

    private static func wait(_ why: String, _ milliseconds: Int64) async {
        guard !Task.isCancelled else { return }
        Output.status("\(why); connecting again in \(milliseconds) ms")
        try? await pause(milliseconds: milliseconds)
    }

    /// Reads one connection to its end; always throws.
    private mutating func read(
        _ response: HTTPClientResponse, _ lastID: inout String?, _ backoff: inout Backoff
    ) async throws -> Never {
        var reader = SSEReader()
        do {
            for try await buffer in response.body {
                try reader.feed(buffer) { event, id in
                    if let id { lastID = id }
                    try self.take(event, id, &backoff)
                }
            }
        } catch let end as End {
            throw end
        } catch {
            try Task.checkCancellation()
            throw End.again("the connection to \(self.client.server) broke off", afterMs: 0)
        }
        try Task.checkCancellation()
        throw End.again("\(self.client.server) ended the connection", afterMs: reader.retryMs ?? 0)
    }

    private mutating func take(_ event: SSEReader.Event, _ id: String?, _ backoff: inout Backoff) throws {
        switch event.name {
        case "": try self.print(event.data, id)
        case "welcome":
            backoff.reset()
            self.progress.welcomed(as: Self.text("device", of: event.data))
            Output.status("connected to \(self.client.server)")
        case "gap", "unsubscribed": Output.status("\(event.name): \(String(decoding: event.data, as: UTF8.self))")
        case "drain":
            // The last word of a server that restarts. What is printed is acked, so nothing is lost by going now.
            let afterMs = Self.number("reconnectAfterMs", of: event.data) ?? 0
            throw End.again("\(self.client.server) is restarting", afterMs: Int64(clamping: min(afterMs, 3_600_000)))
        case "close": throw Self.end(event.data)
        default: break
        }
    }

    private mutating func print(_ data: [UInt8], _ id: String?) throws(End) {
        do {
            try Output.line(self.raw ? Self.data(of: data) : data.map { $0 == 0x0a ? 0x20 : $0 })
        } catch {
            throw .done
        }
        if let id { self.progress.note(id) }
        guard let count = self.count else { return }
        self.count = count - 1
        if count <= 1 { throw .done }
    }

    /// What `close` means: its code, and whether to come back.
    private static func end(_ data: [UInt8]) -> End {
        let (reconnects, reason) = data.withUnsafeBytes { bytes in
            let members = (try? JSON.object(in: bytes, maxDepth: 4)) ?? []
            return (
                members.contains { $0.key.equals("reconnect") && $0.value.kind == .true },
                members.first { $0.key.equals("reason") }?.value.string ?? "closed"
            )
        }
        if reconnects { return .again("the server closed the session: \(reason)", afterMs: 0) }
        guard self.number("code", of: data) != UInt64(CloseCode.takenOver.rawValue) else {
            return .failed(self.takenOver)
        }
        return .failed(ClientError(message: "the server closed the session: \(reason)", isTemporary: false))
    }

    private static func text(_ member: StaticString, of data: [UInt8]) -> String? {
        data.withUnsafeBytes { bytes in
            (try? JSON.object(in: bytes, maxDepth: 4))?.first { $0.key.equals(member) }?.value.string
        }
    }

    private static func number(_ member: StaticString, of data: [UInt8]) -> UInt64? {
        data.withUnsafeBytes { bytes in
            (try? JSON.object(in: bytes, maxDepth: 4))?.first { $0.key.equals(member) }?.value.unsigned
        }
    }

    /// The data of a message, as text if it is a string; nothing if it has none.
    private static func data(of message: [UInt8]) -> [UInt8] {
        message.withUnsafeBytes { bytes in
            guard
                let value = (try? JSON.object(in: bytes, maxDepth: 512))?.first(where: { $0.key.equals("data") })?.value
            else { return [] }
            return value.string.map { Array($0.utf8) } ?? value.raw.map { $0 == 0x0a ? 0x20 : $0 }
        }
    }
}

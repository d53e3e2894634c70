#if canImport(Darwin) || MARTLET_URLSESSION
import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// The network by URLSession: it knows the system's proxies, trust and mobile networks.
///
/// On Linux it is compiled only for the check of `scripts/sdk-urlsession`, which also runs its requests and streams.
final class URLSessionCarrier: Carrier {
    /// Quiet streams are the rule; what is too quiet is decided elsewhere.
    private let session: URLSession

    init() {
        let configuration = URLSessionConfiguration.ephemeral
        configuration.timeoutIntervalForRequest = 3_600
        configuration.timeoutIntervalForResource = 31_536_000
        configuration.requestCachePolicy = .reloadIgnoringLocalCacheData
        configuration.httpCookieStorage = nil
        self.session = URLSession(configuration: configuration)
    }

    deinit { self.session.invalidateAndCancel() }

    private func make(_ server: ServerAddress, _ request: CarrierRequest, webSocket: Bool = false) throws(SessionEnd) -> URLRequest {
        guard let url = server.url(request.target, webSocket: webSocket) else { throw .unreachable("\(server.authority) is not an address.") }
        var made = URLRequest(url: url)
        made.httpMethod = request.method
        for (name, value) in request.headers { made.setValue(value, forHTTPHeaderField: name) }
        if !request.body.isEmpty { made.httpBody = Data(request.body) }
        return made
    }

    func request(_ server: ServerAddress, _ request: CarrierRequest) async throws(SessionEnd) -> CarrierAnswer {
        var made = try self.make(server, request)
        made.timeoutInterval = 30
        do {
            let (data, response) = try await self.session.data(for: made)
            return Self.answer(response, body: Array(data))
        } catch {
            throw Self.end(error, server)
        }
    }

    func stream(
        _ server: ServerAddress, _ request: CarrierRequest, receive: @escaping @Sendable ([UInt8]) async throws(SessionEnd) -> Void
    ) async throws(SessionEnd) -> CarrierAnswer {
        let made = try self.make(server, request)
        let delegate = StreamDelegate()
        let session = URLSession(configuration: self.session.configuration, delegate: delegate, delegateQueue: nil)
        defer { session.invalidateAndCancel() }
        let task = session.dataTask(with: made)
        task.resume()
        var answer: CarrierAnswer?
        do {
            while let event = try await delegate.next() {
                switch event {
                case .response(let response):
                    answer = Self.answer(response, body: [])
                    if answer?.status == 200, answer?.contentType?.hasPrefix("text/event-stream") != true {
                        throw SessionEnd.foreign(200, retryAfterMs: nil)
                    }
                case .data(let data):
                    if answer?.status == 200 {
                        try await receive(Array(data))
                    } else {
                        answer?.body += Array(data)
                        if let count = answer?.body.count, count > CarrierAnswer.mostBytes { throw SessionEnd.lost("The answer was too long.") }
                    }
                }
            }
        } catch {
            throw Self.end(error, server)
        }
        guard let answer else { throw .lost("The connection ended.") }
        return answer
    }

    func webSocket(
        _ server: ServerAddress, _ request: CarrierRequest, send: @escaping @Sendable () async -> [[UInt8]]?,
        receive: @escaping @Sendable ([UInt8]) async throws(SessionEnd) -> Void
    ) async throws(SessionEnd) -> (code: Int, reason: String) {
        let task = self.session.webSocketTask(with: try self.make(server, request, webSocket: true))
        task.maximumMessageSize = CarrierAnswer.mostBytes
        task.resume()
        defer { task.cancel() }
        do {
            try await withTaskCancellationHandler {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        while let texts = await send() {
                            for text in texts { try await task.send(.string(String(decoding: text, as: UTF8.self))) }
                        }
                        task.cancel(with: .normalClosure, reason: nil)
                    }
                    group.addTask {
                        while true {
                            switch try await task.receive() {
                            case .string(let text): try await receive(Array(text.utf8))
                            case .data(let data): try await receive(Array(data))
                            @unknown default: break
                            }
                        }
                    }
                    defer { group.cancelAll() }
                    // The first ends when there is nothing more to say, the other with an error.
                    while try await group.next() != nil {}
                }
            } onCancel: {
                task.cancel()
            }
        } catch let end as SessionEnd {
            throw end
        } catch {
            if let answer = task.response as? HTTPURLResponse, answer.statusCode != 101 { throw Self.refusal(answer) }
            guard task.closeCode != .invalid else { throw Self.end(error, server) }
        }
        return (task.closeCode.rawValue, task.closeReason.map { String(decoding: $0, as: UTF8.self) } ?? "")
    }

    // MARK: Answers and errors

    private static func answer(_ response: URLResponse, body: [UInt8]) -> CarrierAnswer {
        guard let response = response as? HTTPURLResponse else { return CarrierAnswer(status: 0) }
        return CarrierAnswer(
            status: response.statusCode, contentType: response.value(forHTTPHeaderField: "Content-Type"),
            retryAfter: response.value(forHTTPHeaderField: "Retry-After"), body: body)
    }

    /// A refused upgrade shows no body: the next transport is told the reason.
    private static func refusal(_ response: HTTPURLResponse) -> SessionEnd {
        if response.statusCode == 401 { return .refused(MartletError(.unauthorized, "The server refused the token.")) }
        return self.answer(response, body: []).end
    }

    private static func end(_ error: any Error, _ server: ServerAddress) -> SessionEnd {
        if let end = error as? SessionEnd { return end }
        switch (error as? URLError)?.code {
        case .cannotConnectToHost, .cannotFindHost, .dnsLookupFailed, .notConnectedToInternet:
            return .unreachable("Nothing answers at \(server.authority).")
        case .timedOut: return .silent
        default: return .lost("The connection broke off (\(error.localizedDescription)).")
        }
    }
}

typealias PlatformCarrier = URLSessionCarrier
#endif

import AsyncHTTPClient
import Crypto
import Logging
import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1
import NIOSSL

/// Asks a bridge's URL: one `GET`, the redirects that are allowed, and what the answer comes to. Everything that comes back is untrusted.
struct UpstreamClient: Sendable {
    let http: HTTPClient
    let hosts: HostList
    let maxBytes: Int
    let timeoutMs: Int64
    let userHeader: String?
    let authorization: String?
    let wall: @Sendable () -> Int64

    private static let redirects = 5
    /// Longest `ETag`, `Last-Modified` or `Content-Type` that is kept, in bytes.
    private static let headerLimit = 512

    /// - Parameter connections: at once to one host.
    static func client(_ group: any EventLoopGroup, hosts: HostList, timeoutMs: Int64, connections: Int) -> HTTPClient {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow, decompression: .disabled)
        configuration.timeout.connect = .milliseconds(timeoutMs)
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = connections
        configuration.httpVersion = .http1Only
        // A name's address is known here first: nothing has been sent yet but a TLS handshake.
        configuration.http1_1ConnectionDebugInitializer = { channel in
            guard let address = channel.remoteAddress?.ipAddress, !hosts.allows(address: address) else {
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            // Once the pool has forgotten it.
            channel.eventLoop.execute { channel.close(promise: nil) }
            return channel.eventLoop.makeFailedFuture(PollFailure(.address))
        }
        return HTTPClient(eventLoopGroupProvider: .shared(group), configuration: configuration)
    }

    /// - Parameters:
    ///   - url: of the user, if there is one.
    ///   - check: throws if an answer cannot be pushed.
    func poll(
        _ url: BridgeURL, user: String?, etag: String?, lastModified: String?,
        check: @escaping @Sendable ([UInt8], _ contentType: String?) throws(WireError) -> Void
    ) async -> FeedTable.Outcome {
        await withTaskGroup(of: FeedTable.Outcome.self) { group in
            group.addTask {
                do throws(PollFailure) {
                    return try await self.follow(url, user: user, etag: etag, lastModified: lastModified, check)
                } catch {
                    return .failure(error)
                }
            }
            group.addTask {
                try? await Task.sleep(for: .milliseconds(self.timeoutMs))
                return .failure(PollFailure(.timeout))
            }
            let first = await group.next() ?? .failure(PollFailure(.timeout))
            group.cancelAll()
            return first
        }
    }

    private func follow(
        _ start: BridgeURL, user: String?, etag: String?, lastModified: String?,
        _ check: @Sendable ([UInt8], _ contentType: String?) throws(WireError) -> Void
    ) async throws(PollFailure) -> FeedTable.Outcome {
        var url = start
        for _ in 0...Self.redirects {
            guard self.hosts.allows(url), self.hosts.allows(address: url.host) else { throw PollFailure(.redirect) }
            let response = try await self.get(url, user: user, etag: etag, lastModified: lastModified)
            switch response.status.code {
            case 200, 204: return .answer(try await self.answer(response, check))
            case 304 where etag != nil || lastModified != nil: return .notModified
            case 301, 302, 303, 307, 308: url = try self.target(of: response, from: url)
            default: throw self.refusal(response)
            }
        }
        throw PollFailure(.redirect)
    }

    private func get(_ url: BridgeURL, user: String?, etag: String?, lastModified: String?) async throws(PollFailure) -> HTTPClientResponse {
        var request = HTTPClientRequest(url: url.text)
        request.headers.add(name: "user-agent", value: "martlet")
        request.headers.add(name: "accept", value: "*/*")
        // What is not compressed cannot become more than was counted.
        request.headers.add(name: "accept-encoding", value: "identity")
        if let etag { request.headers.add(name: "if-none-match", value: etag) }
        if let lastModified { request.headers.add(name: "if-modified-since", value: lastModified) }
        if let authorization = self.authorization { request.headers.add(name: "authorization", value: authorization) }
        if let header = self.userHeader, let user { request.headers.add(name: header, value: BridgeURL.headerValue(user: user)) }
        do {
            return try await self.execute(request)
        } catch let error as HTTPClientError where error == .remoteConnectionClosed {
            // A connection that was kept, which the server had given up just then.
            do { return try await self.execute(request) } catch { throw Self.failure(error) }
        } catch {
            throw Self.failure(error)
        }
    }

    private func execute(_ request: HTTPClientRequest) async throws -> HTTPClientResponse {
        try await self.http.execute(request, timeout: .milliseconds(self.timeoutMs))
    }

    private static let timeouts: [HTTPClientError] = [
        .connectTimeout, .deadlineExceeded, .readTimeout, .tlsHandshakeTimeout, .getConnectionFromPoolTimeout, .cancelled,
    ]

    private static func failure(_ error: any Error) -> PollFailure {
        switch error {
        case let failure as PollFailure: failure
        case let error as HTTPClientError where Self.timeouts.contains(error): PollFailure(.timeout)
        case is CancellationError: PollFailure(.timeout)
        case is NIOSSLError, is NIOSSLExtraError, is BoringSSLError: PollFailure(.tls)
        case let error as HTTPParserError where error == .invalidEOFState: PollFailure(.connect)
        case is HTTPParserError: PollFailure(.unusable)
        default: PollFailure(.connect)
        }
    }

    private func target(of response: HTTPClientResponse, from url: BridgeURL) throws(PollFailure) -> BridgeURL {
        guard let location = response.headers.first(name: "location"), let target = url.redirected(to: location), self.hosts.allows(target),
            // Who the user is, and what lets us in, is for the one server; and TLS is not given up.
            target.isSameOrigin(as: url) || self.authorization == nil && self.userHeader == nil && (target.isTLS || !url.isTLS)
        else { throw PollFailure(.redirect) }
        return target
    }

    private func refusal(_ response: HTTPClientResponse) -> PollFailure {
        let retryAfter = response.headers.first(name: "retry-after").flatMap { UpstreamDates.retryAfterMs($0, wallMs: self.wall()) }
        return PollFailure(.status, status: Int(response.status.code), retryAfterMs: retryAfter)
    }

    private func answer(
        _ response: HTTPClientResponse, _ check: @Sendable ([UInt8], _ contentType: String?) throws(WireError) -> Void
    ) async throws(PollFailure) -> Feed.Answer {
        let headers = response.headers
        if let encoding = headers.first(name: "content-encoding"), encoding.lowercased() != "identity" { throw PollFailure(.unusable) }
        if let length = headers.first(name: "content-length").flatMap({ Int($0) }), length > self.maxBytes { throw PollFailure(.tooLarge) }
        var body: [UInt8] = []
        do {
            for try await part in response.body {
                guard body.count + part.readableBytes <= self.maxBytes else { throw PollFailure(.tooLarge) }
                body += part.readableBytesView
            }
        } catch {
            throw Self.failure(error)
        }
        // A body that was cut off by the time's end looks whole.
        guard !Task.isCancelled else { throw PollFailure(.timeout) }
        let contentType = self.header("content-type", headers)
        do throws(WireError) {
            try check(body, contentType)
        } catch {
            throw PollFailure(error.code == .messageTooLarge ? .tooLarge : .unusable)
        }
        var lastModified = self.header("last-modified", headers)
        if let date = lastModified, !UpstreamDates.isSettled(lastModified: date, date: headers.first(name: "date"), wallMs: self.wall()) {
            lastModified = nil
        }
        var hash = SHA256()
        hash.update(data: Array((contentType ?? "").utf8) + [0])
        hash.update(data: body)
        return Feed.Answer(
            body: body, contentType: contentType, digest: Array(hash.finalize()), etag: self.header("etag", headers),
            lastModified: lastModified)
    }

    /// Only what can be sent again as it is.
    private func header(_ name: String, _ headers: HTTPHeaders) -> String? {
        guard let value = headers.first(name: name), !value.isEmpty, value.utf8.count <= Self.headerLimit,
            value.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f })
        else { return nil }
        return value
    }
}

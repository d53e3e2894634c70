import NIOCore

/// Where the load goes, and how it asks there.
struct BenchTarget: PublishWay {
    enum Transport: String, CaseIterable, Sendable {
        case sse, ws, grpc

        /// For people.
        var name: String {
            switch self {
            case .sse: "SSE"
            case .ws: "WebSocket"
            case .grpc: "gRPC"
            }
        }

        /// Where to connect; for gRPC only what stands after the `?` says something.
        var path: String { self == .sse ? "/v1/sse" : "/v1/ws" }
    }

    let address: SocketAddress
    /// Where subscribers connect.
    let subscriberAddress: SocketAddress
    /// For the `Host` field.
    let host: String
    /// The path to subscribe at; `{topic}` stands for the topic's name.
    let subscribePath: String
    let publishPath: String
    let transport: Transport
    /// `Authorization` of subscribers and of publishers, without its name.
    let subscriberToken: String?
    let publisherKey: String?
    /// A path before `/v1`.
    let prefix: String

    /// - Throws: a sentence if the address cannot be used.
    init(
        url: Endpoint, grpc: HostPort, transport: Transport, subscribePath: String?, publishPath: String?, subscriberToken: String?,
        publisherKey: String?
    ) throws(ClientError) {
        let text = url.description
        guard text.lowercased().hasPrefix("http://") else {
            throw ClientError(message: "the load is made without TLS: give --url http://HOST:PORT", isTemporary: false)
        }
        let rest = text.dropFirst("http://".count)
        let authority = rest.prefix { $0 != "/" }
        self.prefix = String(rest.dropFirst(authority.count))
        self.host = String(authority)
        let (name, port) = try Self.split(authority)
        do {
            self.address = try SocketAddress.makeAddressResolvingHost(name, port: port)
        } catch {
            throw ClientError(message: "\(name) is no address that is known here", isTemporary: false)
        }
        self.subscriberAddress = transport == .grpc ? try grpc.resolve() : self.address
        self.transport = transport
        self.subscribePath = self.prefix + (subscribePath ?? transport.path + "?topics={topic}")
        self.publishPath = self.prefix + (publishPath ?? "/v1/topics/{topic}")
        self.subscriberToken = subscriberToken
        self.publisherKey = publisherKey
    }

    private static func split(_ authority: Substring) throws(ClientError) -> (name: String, port: Int) {
        var name = authority
        var port = 80
        if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
            name = authority[..<colon]
            guard let number = Int(authority[authority.index(after: colon)...]), (1...65_535).contains(number) else {
                throw ClientError(message: "\(authority) names no port: give --url http://HOST:PORT", isTemporary: false)
            }
            port = number
        }
        return (String(name.filter { $0 != "[" && $0 != "]" }), port)
    }

    // MARK: Requests

    /// The request that subscribes.
    ///
    /// - Parameter path: from ``subscribePath(topic:)``, with whatever the scenario adds.
    func subscribeRequest(_ path: String) -> String {
        var text = "GET \(path) HTTP/1.1\r\nHost: \(self.host)\r\n"
        if let token = self.subscriberToken { text += "Authorization: Bearer \(token)\r\n" }
        switch self.transport {
        case .sse: text += "Accept: text/event-stream\r\n\r\n"
        case .ws, .grpc:
            text += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            text += "Sec-WebSocket-Key: bWFydGxldCBiZW5jaCBrZQ==\r\n\r\n"
        }
        return text
    }

    func subscribePath(topic: String) -> String { self.subscribePath.replacingPlaceholder(with: topic) }

    func publishPath(topic: String) -> String { self.publishPath.replacingPlaceholder(with: topic) }

    // MARK: Publishing

    /// One request at a time.
    var window: Int { 1 }

    /// The head of the request that publishes, up to the value of `Content-Length`.
    func head(topic: String) -> [UInt8] {
        var text = "POST \(self.publishPath(topic: topic)) HTTP/1.1\r\nHost: \(self.host)\r\n"
        if let key = self.publisherKey { text += "Authorization: Bearer \(key)\r\n" }
        return Array((text + "Content-Type: application/json\r\nContent-Length: ").utf8)
    }

    func request(_ head: [UInt8], _ payload: [UInt8]) -> [UInt8] { head + Array("\(payload.count)\r\n\r\n".utf8) + payload }

    func connection(_ pacer: Pacer) -> any PacedConnection { PublishConnection(pacer: pacer) }
}

extension String {
    fileprivate func replacingPlaceholder(with topic: String) -> String {
        self.split(separator: "{topic}", omittingEmptySubsequences: false).joined(separator: topic)
    }
}

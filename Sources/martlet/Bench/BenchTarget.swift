import NIOCore

/// Where the load goes, and how it asks there.
struct BenchTarget: Sendable {
    enum Transport: String, CaseIterable, Sendable {
        case sse, ws

        /// For people.
        var name: String { self == .sse ? "SSE" : "WebSocket" }
    }

    /// Connections that come from one source address; below what one has ports for, and what a server may grant it.
    private static let connectionsPerSource = 200

    let address: SocketAddress
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
        url: Endpoint, transport: Transport, subscribePath: String?, publishPath: String?, subscriberToken: String?, publisherKey: String?
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
        self.transport = transport
        self.subscribePath = self.prefix + (subscribePath ?? (transport == .sse ? "/v1/sse?topics={topic}" : "/v1/ws?topics={topic}"))
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

    /// The address that connection number `index` comes from; nil leaves it to the kernel.
    ///
    /// Over loopback each Linux process may use all of 127.0.0.0/8, so that ports never run out.
    func source(_ index: Int) -> SocketAddress? {
        #if os(Linux)
        guard self.isLoopback, self.address.protocol == .inet else { return nil }
        let number = index / Self.connectionsPerSource
        return try? SocketAddress(ipAddress: "127.0.\(1 + number / 250).\(1 + number % 250)", port: 0)
        #else
        return nil
        #endif
    }

    var isLoopback: Bool { self.address.ipAddress?.hasPrefix("127.") == true || self.address.ipAddress == "::1" }

    // MARK: Requests

    /// The request that subscribes.
    ///
    /// - Parameter path: from ``subscribePath(topic:)``, with whatever the scenario adds.
    func subscribeRequest(_ path: String) -> String {
        var text = "GET \(path) HTTP/1.1\r\nHost: \(self.host)\r\n"
        if let token = self.subscriberToken { text += "Authorization: Bearer \(token)\r\n" }
        switch self.transport {
        case .sse: text += "Accept: text/event-stream\r\n\r\n"
        case .ws:
            text += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            text += "Sec-WebSocket-Key: bWFydGxldCBiZW5jaCBrZQ==\r\n\r\n"
        }
        return text
    }

    func subscribePath(topic: String) -> String { self.subscribePath.replacingPlaceholder(with: topic) }

    /// The head of the request that publishes, up to the value of `Content-Length`.
    func publishHead(_ path: String) -> String {
        var text = "POST \(path) HTTP/1.1\r\nHost: \(self.host)\r\n"
        if let key = self.publisherKey { text += "Authorization: Bearer \(key)\r\n" }
        return text + "Content-Type: application/json\r\nContent-Length: "
    }

    func publishPath(topic: String) -> String { self.publishPath.replacingPlaceholder(with: topic) }
}

extension String {
    fileprivate func replacingPlaceholder(with topic: String) -> String {
        self.split(separator: "{topic}", omittingEmptySubsequences: false).joined(separator: topic)
    }
}

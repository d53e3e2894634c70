import MartletCore
import NIOCore
import NIOHTTP1

/// What a request must show before its body is read. A path that takes a body must be here: of all others it is dropped.
enum BodyNeed: Equatable {
    /// The path takes no body: what comes is read and dropped.
    case none
    case key(KeyScopes)
    case token
    /// A key, or a client's token.
    case either(KeyScopes)

    init(_ method: HTTPMethod, _ path: Substring) {
        switch (path, method) {
        case ("/v1/messages", .POST): self = .key(.publish)
        case ("/v1/ack", .POST), ("/v1/exchange", .POST): self = .token
        case (_, .POST) where path.begins(with: TopicAPI.prefix): self = .either(.publish)
        case (_, .POST) where SessionTokenAPI.session(path) != nil: self = .token
        case (_, .POST) where path.begins(with: "/v1/users/") && path.hasSuffix("/disconnect"): self = .key(.admin)
        case (_, .PUT) where path.begins(with: "/v1/namespaces/"): self = .key(.admin)
        default: self = .none
        }
    }
}

/// Collects the body of a request in one buffer. Bytes are copied once: it has room for as many as the head says, or doubles.
struct BodyCollector {
    /// Bytes that it may have.
    private(set) var limit = 0
    private var bytes = ByteBuffer()
    private var count = 0
    /// What the head says; nil for a chunked body.
    private var length: Int? = 0
    private var isKept = false

    init() {}

    init(_ head: HTTPRequestHead, limit: Int, isKept: Bool) {
        self.limit = limit
        self.isKept = isKept
        self.length = head.headers.contains(name: "transfer-encoding") ? nil : head.headers.first(name: "content-length").map { Int($0) ?? .max } ?? 0
    }

    /// Whether the head announces one.
    var isExpected: Bool { self.length != 0 }

    /// By what the head says, or by what came.
    var isTooLarge: Bool { max(self.count, self.length ?? 0) > self.limit }

    mutating func append(_ part: ByteBuffer) {
        self.count += part.readableBytes
        guard self.isKept, self.count <= self.limit else { return }
        if part.readableBytes == self.length {
            // The whole, as it was read.
            self.bytes = part
        } else {
            if self.bytes.capacity == 0, let length = self.length { self.bytes.reserveCapacity(min(length, self.limit)) }
            self.bytes.writeImmutableBuffer(part)
        }
    }

    /// Gives the body away.
    mutating func take() -> ByteBuffer {
        defer { self = BodyCollector() }
        return self.bytes
    }
}

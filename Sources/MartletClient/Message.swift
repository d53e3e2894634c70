public import Foundation

/// A message as it came: of the inbox, or of a topic.
public struct Message: Sendable, Identifiable {
    /// How urgent a message of the inbox is.
    public enum Priority: String, Sendable, Codable {
        case high, medium, low
    }

    /// A UUID of version 7; ids grow in the order in which messages were stored.
    public let id: String
    /// When it was stored, by the server's clock.
    public let at: Date
    /// For the program; nil if the publisher gave none.
    public let type: String?
    /// The topic that it was published to; nil for one of the inbox.
    public let topic: String?
    /// nil for one of a topic.
    public let priority: Priority?
    /// It may have come to this device before.
    public let isRedelivered: Bool
    /// The topic's value from before the subscription began.
    public let isRetained: Bool
    /// What was published: JSON byte for byte as it was, or binary if there is a ``contentType``; empty if there was nothing.
    public let data: Data
    /// Of binary data; nil if ``data`` is JSON.
    public let contentType: String?
    /// For the screen (title, body …), as JSON.
    public let notification: Data?
    /// The whole message as the server wrote it, as JSON, without the numbers that belong to the connection.
    public let json: Data

    package var handle: AckHandle?

    package init(
        id: String, at: Date, type: String? = nil, topic: String? = nil, priority: Priority? = nil, isRedelivered: Bool = false,
        isRetained: Bool = false, data: Data = Data(), contentType: String? = nil, notification: Data? = nil, json: Data = Data()
    ) {
        self.id = id
        self.at = at
        self.type = type
        self.topic = topic
        self.priority = priority
        self.isRedelivered = isRedelivered
        self.isRetained = isRetained
        self.data = data
        self.contentType = contentType
        self.notification = notification
        self.json = json
    }

    /// The data as a value.
    ///
    /// - Parameters:
    ///   - type: what it is to be.
    ///   - decoder: what reads the JSON; a plain `JSONDecoder` by default.
    /// - Throws: `DecodingError` if the data is not such a value.
    public func decode<Value: Decodable>(_ type: Value.Type, decoder: JSONDecoder = JSONDecoder()) throws -> Value {
        try decoder.decode(type, from: self.data)
    }

    /// The data if it is a string; nil if it is not.
    public var text: String? { self.contentType == nil ? try? self.decode(String.self) : nil }

    /// Says that it was handled: it does not come again. Only needed with `acks: .manual`, or before leaving a loop; a second time does nothing.
    public func ack() { self.handle?.ack() }
}

/// Reaches the client that a message came from.
package final class AckHandle: Sendable {
    private let work: @Sendable () -> Void
    package init(_ work: @escaping @Sendable () -> Void) { self.work = work }
    package func ack() { self.work() }
}

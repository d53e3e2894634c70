/// Holds a client and a place in it, until the last sequence or iterator with it goes.
final class Subscription: Sendable {
    let martlet: Martlet
    let id: Int

    init(_ martlet: Martlet, _ wants: Deliveries.Wants, since: Since? = nil) {
        self.martlet = martlet
        self.id = martlet.engine.add(wants, since: since)
    }

    deinit { self.martlet.engine.remove(self.id) }
}

/// Messages as they come, each once.
///
/// It ends when its task is cancelled and after ``Martlet/close()``, and throws ``MartletError`` when the server does not want the client
/// back. It counts from when it was made: what comes between that and the loop waits. Two loops over the same value share its messages.
public struct Messages: AsyncSequence, Sendable {
    public typealias Element = Message

    private let subscription: Subscription
    private let isAutomatic: Bool

    init(_ subscription: Subscription, isAutomatic: Bool) {
        self.subscription = subscription
        self.isAutomatic = isAutomatic
    }

    public func makeAsyncIterator() -> Iterator { Iterator(subscription: self.subscription, isAutomatic: self.isAutomatic) }

    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let subscription: Subscription
        fileprivate let isAutomatic: Bool
        private var inHand: String?

        fileprivate init(subscription: Subscription, isAutomatic: Bool) {
            self.subscription = subscription
            self.isAutomatic = isAutomatic
        }

        /// Says that the message before was handled, and waits for the next one.
        public mutating func next() async throws -> Message? {
            if let inHand = self.inHand {
                self.inHand = nil
                self.subscription.martlet.engine.done(inHand, by: self.subscription.id)
            }
            guard var message = try await self.subscription.martlet.engine.next(for: self.subscription.id) else { return nil }
            if self.isAutomatic { self.inHand = message.id }
            // Not the subscription itself: a message that is kept must not hold the connection.
            let (engine, id, consumer) = (self.subscription.martlet.engine, message.id, self.subscription.id)
            message.handle = AckHandle { [weak engine] in engine?.done(id, by: consumer) }
            return message
        }
    }
}

/// What messages hold, as values.
public struct Values<Element: Decodable & Sendable>: AsyncSequence, Sendable {
    private let messages: Messages

    init(_ messages: Messages) { self.messages = messages }

    public func makeAsyncIterator() -> Iterator { Iterator(messages: self.messages.makeAsyncIterator()) }

    public struct Iterator: AsyncIteratorProtocol {
        fileprivate var messages: Messages.Iterator

        /// Says that the value before was handled, and waits for the next one.
        ///
        /// - Throws: `DecodingError` for data that is no such value; calling again goes on after it.
        public mutating func next() async throws -> Element? {
            try await self.messages.next()?.decode(Element.self)
        }
    }
}

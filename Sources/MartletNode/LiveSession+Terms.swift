import MartletCore
import MartletWire
import NIOCore

/// What sessions with ``SessionTerms`` can do.
extension LiveSession {
    func subscribe(_ wishes: [SubscribeWish], done: @escaping (WireError?) -> Void) throws(WireError) {
        try self.subscribe(wishes)
        done(nil)
    }
    func unsubscribe(_ filters: [TopicFilter], done: @escaping ([Bool]) -> Void) { done(filters.map { _ in false }) }
    func openInbox(windowMessages: Int, acks: Bool, done: @escaping (WireError?) -> Void) { done(nil) }
    func closeInbox() -> Bool { false }
    func acked(number: UInt16) -> Bool { false }
    func received(number: UInt16, isRefused: Bool) -> Bool { false }
    func publish(
        _ request: AppendRequest, number: UInt16, done: @escaping @Sendable (AppendOutcome) -> Void
    ) throws(WireError) { try self.publish(request, done: done) }
    func release(number: UInt16, done: @escaping @Sendable (Bool?) -> Void) { done(false) }
    func leaves(withWill: Bool, expirySeconds: Int?) {}
}

import MartletCore
import MartletNet
import MartletWire
import NIOCore

/// Turns what a session says into the bytes of a stream on which only the server speaks.
///
/// Each call appends one whole event, part or line; the names are those of ``LiveClient``.
protocol OneWayEncoder {
    /// Header lines, each with its CRLF: the content type and what goes with it.
    func head(into buffer: inout ByteBuffer)
    /// The first event, and what must come before it.
    func welcome(_ welcome: Welcome, into buffer: inout ByteBuffer)
    func message(_ delivery: borrowing Delivery, into buffer: inout ByteBuffer)
    /// Shares what it can with other receivers of the loop.
    func message(_ delivery: borrowing TopicDelivery, to output: inout StreamOutput)
    func gap(_ gap: GapNotice, into buffer: inout ByteBuffer)
    /// - Parameter cursor: the place after it.
    func gap(_ gap: TopicGap, cursor: Cursor, into buffer: inout ByteBuffer)
    func subscribed(_ notices: [SubscribedNotice], cursor: Cursor, into buffer: inout ByteBuffer)
    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason, into buffer: inout ByteBuffer)
    func presence(_ event: PresenceEvent, into buffer: inout ByteBuffer)
    func heartbeat(into buffer: inout ByteBuffer)
    /// The last event, when the server goes down.
    func drain(reconnectAfterMs: Int64, into buffer: inout ByteBuffer)
    /// The last event.
    ///
    /// - Parameter retryAfterMs: when to come back, if the code says to.
    func close(_ code: CloseCode, retryAfterMs: Int64?, into buffer: inout ByteBuffer)
    /// A whole answer in the place of the stream.
    ///
    /// - Parameter extra: header lines, each with its CRLF.
    func refusal(_ error: WireError, extra: String, into buffer: inout ByteBuffer)
}

extension OneWayEncoder {
    func refusal(_ error: WireError, extra: String, into buffer: inout ByteBuffer) {
        RawResponse.write(error, extra: extra, to: &buffer)
    }
}

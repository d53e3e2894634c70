import MartletCore
import MartletNet
import NIOCore

/// Messages of topics on `/v1/stream`.
extension TopicFrames {
    /// Appends a frame, shared by all receivers that have the same place.
    ///
    /// - Parameter forms: without and with the place.
    static func stream(
        _ delivery: borrowing TopicDelivery, _ encoder: StreamEncoder, _ forms: (SharedFrames.Form, SharedFrames.Form), to output: inout StreamOutput
    ) {
        let hasOwnPlace = delivery.cursor != nil && !delivery.isCursorShared
        guard !delivery.isRetained, !hasOwnPlace else { return self.own(delivery, encoder, to: &output) }
        let form = delivery.cursor == nil ? forms.0 : forms.1
        if let frame = delivery.frames[form] as? SharedFrame { return output.append(frame) }
        var buffer = ByteBufferAllocator().buffer(capacity: self.room(delivery))
        encoder.message(delivery.message, isRetained: false, cursor: delivery.cursor, into: &buffer)
        let frame = SharedFrame(buffer)
        delivery.frames[form] = frame
        output.append(frame)
    }

    /// Appends a frame that nobody else gets.
    static func own(_ delivery: borrowing TopicDelivery, _ encoder: StreamEncoder, to output: inout StreamOutput) {
        let (message, isRetained, cursor) = (delivery.message, delivery.isRetained, delivery.cursor)
        output.append(self.room(delivery)) { encoder.message(message, isRetained: isRetained, cursor: cursor, into: &$0) }
    }

    private static func room(_ delivery: borrowing TopicDelivery) -> Int {
        delivery.message.fragment.count + (delivery.cursor?.textRoom ?? 0) + 160
    }
}

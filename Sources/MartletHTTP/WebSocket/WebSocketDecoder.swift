import MartletWire
package import NIOCore

/// Turns a client's bytes into messages (RFC 6455, the server's side). Untrusted: any bytes, in any pieces.
///
/// Feed it what arrives, then call ``next()`` until it returns nil. A refusal comes with the first byte that makes it
/// certain: a forbidden header before its payload, too long a message before its bytes, invalid UTF-8 before the
/// frame's end (of compressed messages, at their end). Memory is held only for bytes that came and are not yet a whole message; an idle one holds none.
package struct WebSocketDecoder {
    package struct Limits: Sendable {
        /// Bytes of one message, over all its fragments.
        package var messageBytes: Int
        /// Frames that one message may come in.
        package var fragments: Int

        package init(messageBytes: Int, fragments: Int = 256) {
            self.messageBytes = messageBytes
            self.fragments = fragments
        }
    }

    private let limits: Limits
    /// What decompresses messages; nil if that was not agreed on.
    private let inflater: Inflater?
    private var state = State.header
    /// Bytes that came and were not looked at.
    private var input: ByteBuffer?
    /// The data message begun, unmasked, and the control frame begun.
    private var message: Message?
    private var control: ByteBuffer?

    private enum State {
        case header
        case payload(Payload)
        /// Closed or failed: the rest does not count.
        case finished
    }

    private struct Payload {
        var opcode: WebSocketOpcode
        var final: Bool
        var remaining: Int
        var mask: WebSocketMask
    }

    private struct Message {
        var opcode: WebSocketOpcode
        var isDeflated: Bool
        /// As they came.
        var bytes: ByteBuffer
        var fragments = 0
        var utf8 = UTF8Check()
    }

    /// - Parameter inflater: what decompresses messages, if the handshake agreed on that.
    package init(limits: Limits, inflater: Inflater? = nil) {
        self.limits = limits
        self.inflater = inflater
    }

    /// Takes all readable bytes. Let go of other references to them first, or they are copied once.
    package mutating func feed(_ bytes: inout ByteBuffer) {
        defer { bytes = ByteBuffer() }
        if case .finished = self.state { return }
        guard bytes.readableBytes > 0 else { return }
        if self.input == nil {
            self.input = bytes
        } else {
            self.input?.writeBuffer(&bytes)
        }
    }

    /// The next event; nil if more bytes are needed.
    ///
    /// - Throws: once; the decoder ignores everything after it.
    package mutating func next() throws(WebSocketError) -> WebSocketEvent? {
        guard var input = self.input else { return nil }
        // Unmasking in place needs the only reference.
        self.input = nil
        do throws(WebSocketError) {
            let event = try self.advance(&input)
            if case .close? = event { self.finish() } else { self.keep(input, partial: event == nil) }
            return event
        } catch {
            self.finish()
            throw error
        }
    }

    private mutating func finish() {
        self.state = .finished
        self.message = nil
        self.control = nil
    }

    /// Holds on to what is left; without an event that is part of a header, so it leaves the buffer it came in.
    private mutating func keep(_ input: ByteBuffer, partial: Bool) {
        guard input.readableBytes > 0 else { return }
        self.input = partial ? ByteBuffer(bytes: input.readableBytesView) : input
    }

    private mutating func advance(_ input: inout ByteBuffer) throws(WebSocketError) -> WebSocketEvent? {
        while true {
            switch self.state {
            case .finished: return nil
            case .header:
                guard let payload = try self.header(&input) else { return nil }
                self.state = .payload(payload)
            case .payload(var payload):
                let event = try self.payload(&payload, &input)
                if payload.remaining > 0 {
                    self.state = .payload(payload)
                    return nil
                }
                self.state = .header
                if let event { return event }
            }
        }
    }

    private mutating func payload(
        _ payload: inout Payload, _ input: inout ByteBuffer
    ) throws(WebSocketError) -> WebSocketEvent? {
        let count = min(payload.remaining, input.readableBytes)
        if count == 0, payload.remaining > 0 { return nil }
        let isText = !payload.opcode.isControl && self.message?.opcode == .text && self.message?.isDeflated == false
        let mask = payload.mask
        var utf8 = self.message?.utf8 ?? UTF8Check()
        let isValid = input.withUnsafeMutableReadableBytes { bytes in
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
            mask.apply(to: part)
            return !isText || utf8.accept(UnsafeRawBufferPointer(part))
        }
        guard isValid else { throw Self.invalidText }
        if isText { self.message?.utf8 = utf8 }
        payload.mask.advance(count)
        payload.remaining -= count
        guard let part = input.readSlice(length: count) else { return nil }
        return payload.opcode.isControl ? try self.takeControl(part, payload) : try self.takeData(part, payload)
    }

    private mutating func takeControl(_ part: ByteBuffer, _ payload: Payload) throws(WebSocketError) -> WebSocketEvent? {
        var whole = self.control ?? ByteBuffer()
        self.control = nil
        let isDone = payload.remaining == 0
        Self.append(part, to: &whole, isDone: isDone)
        guard isDone else {
            self.control = whole
            return nil
        }
        switch payload.opcode {
        case .ping: return .ping(whole)
        case .pong: return .pong(whole)
        default: return try Self.close(whole)
        }
    }

    private mutating func takeData(_ part: ByteBuffer, _ payload: Payload) throws(WebSocketError) -> WebSocketEvent? {
        guard var message = self.message else { return nil }
        // Growing in place needs the only reference.
        self.message = nil
        let isDone = payload.final && payload.remaining == 0
        Self.append(part, to: &message.bytes, isDone: isDone)
        guard isDone else {
            self.message = message
            return nil
        }
        if message.isDeflated { return try self.inflated(message) }
        guard message.opcode == .text else { return .binary(message.bytes) }
        guard message.utf8.isComplete else { throw Self.invalidText }
        return .text(message.bytes)
    }

    private func inflated(_ message: Message) throws(WebSocketError) -> WebSocketEvent? {
        guard let plain = try self.inflater?.inflate(message.bytes, limit: self.limits.messageBytes) else { return nil }
        guard message.opcode == .text else { return .binary(plain) }
        var utf8 = message.utf8
        guard plain.withUnsafeReadableBytes({ utf8.accept($0) }), utf8.isComplete else { throw Self.invalidText }
        return .text(plain)
    }

    /// Adds a part. What came whole stays a view of what was read; parts are copied, so that they do not hold on to the
    /// buffers they came in.
    private static func append(_ part: ByteBuffer, to whole: inout ByteBuffer, isDone: Bool) {
        if isDone, whole.readableBytes == 0 {
            whole = part
        } else if part.readableBytes > 0 {
            whole.writeImmutableBuffer(part)
        }
    }

    private static let invalidText = WebSocketError(.invalidUTF8, "a text message is not UTF-8")

    /// Reads a close frame's payload (RFC 6455 §5.5.1).
    private static func close(_ payload: ByteBuffer) throws(WebSocketError) -> WebSocketEvent {
        var payload = payload
        guard payload.readableBytes > 0 else { return .close(code: nil, reason: "") }
        guard let code = payload.readInteger(as: UInt16.self), isValidCloseCode(code) else {
            throw WebSocketError(.protocolError, "a close frame has no valid code")
        }
        guard let reason = String(validating: payload.readableBytesView, as: UTF8.self) else {
            throw WebSocketError(.invalidUTF8, "the reason in a close frame is not UTF-8")
        }
        return .close(code: code, reason: reason)
    }
}

extension WebSocketDecoder {
    /// Reads one header if it is there as a whole, after checking what is there of it.
    private mutating func header(_ input: inout ByteBuffer) throws(WebSocketError) -> Payload? {
        guard let first = input.getInteger(at: input.readerIndex, as: UInt8.self) else { return nil }
        let final = first & 0x80 != 0
        let isDeflated = first & 0x40 != 0
        guard first & 0x30 == 0, !isDeflated || self.inflater != nil else { throw WebSocketError(.protocolError, "a reserved bit is set") }
        guard let opcode = WebSocketOpcode(rawValue: first & 0x0f) else {
            throw WebSocketError(.protocolError, "a frame has a reserved opcode")
        }
        // RFC 7692 §6.1.
        guard !isDeflated || opcode == .text || opcode == .binary else {
            throw WebSocketError(.protocolError, "a frame that does not begin a message says that it is compressed")
        }
        if opcode.isControl {
            guard final else { throw WebSocketError(.protocolError, "a control frame is fragmented") }
        } else if opcode == .continuation {
            guard self.message != nil else { throw WebSocketError(.protocolError, "there is no message to continue") }
        } else {
            guard self.message == nil else { throw WebSocketError(.protocolError, "a message begins within another") }
        }

        guard let second = input.getInteger(at: input.readerIndex + 1, as: UInt8.self) else { return nil }
        guard second & 0x80 != 0 else { throw WebSocketError(.protocolError, "a client's frame is not masked") }
        let short = Int(second & 0x7f)
        if opcode.isControl, short > 125 {
            throw WebSocketError(.protocolError, "a control frame has more than 125 bytes")
        }
        guard let (length, lengthBytes) = try Self.length(short, input) else { return nil }
        // Before the mask and the payload are there.
        if !opcode.isControl { try self.check(length, isDeflated: self.message?.isDeflated ?? isDeflated) }

        guard let mask = input.getInteger(at: input.readerIndex + 2 + lengthBytes, endianness: .little, as: UInt32.self)
        else { return nil }
        input.moveReaderIndex(forwardBy: 6 + lengthBytes)
        switch opcode {
        case .text, .binary: self.message = Message(opcode: opcode, isDeflated: isDeflated, bytes: ByteBuffer(), fragments: 1)
        case .continuation: self.message?.fragments += 1
        default: break
        }
        return Payload(opcode: opcode, final: final, remaining: Int(length), mask: WebSocketMask(mask))
    }

    private func check(_ length: UInt64, isDeflated: Bool) throws(WebSocketError) {
        let most = isDeflated ? Inflater.deflatedMost(self.limits.messageBytes) : self.limits.messageBytes
        let room = most - (self.message?.bytes.readableBytes ?? 0)
        guard length <= UInt64(max(0, room)) else {
            throw WebSocketError(.tooBig, "a message has more than \(self.limits.messageBytes) bytes")
        }
        guard (self.message?.fragments ?? 0) < self.limits.fragments else {
            throw WebSocketError(.tooBig, "a message has more than \(self.limits.fragments) fragments")
        }
    }

    /// The payload's length, and how many bytes it takes after the second; nil if they are not all there.
    private static func length(_ short: Int, _ input: ByteBuffer) throws(WebSocketError) -> (UInt64, Int)? {
        switch short {
        case 126:
            guard let length = input.getInteger(at: input.readerIndex + 2, as: UInt16.self) else { return nil }
            guard length > 125 else { throw WebSocketError(.protocolError, "a length is longer than it needs to be") }
            return (UInt64(length), 2)
        case 127:
            guard let length = input.getInteger(at: input.readerIndex + 2, as: UInt64.self) else { return nil }
            guard length > 0xffff, length >> 63 == 0 else {
                throw WebSocketError(
                    .protocolError, "a length is longer than it needs to be, or has its highest bit set")
            }
            return (length, 8)
        default:
            return (UInt64(short), 0)
        }
    }
}

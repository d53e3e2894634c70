package import NIOCore

/// Turns a peer's bytes, in any pieces, into packets.
///
/// Feed it what arrives, then call ``next()`` until it returns nil. A packet that is there as a whole is not copied. Memory is held
/// only for bytes that came and are not yet a whole packet, none of them of one that is too long.
package struct MQTTStreamDecoder {
    private var decoder: MQTTDecoder
    /// Bytes that came and are not yet a packet.
    private var input: ByteBuffer?
    /// Whether `input` is a copy that holds no more than what is left.
    private var isCompact = false
    private var isFinished = false

    package init(_ decoder: MQTTDecoder) { self.decoder = decoder }

    /// See ``MQTTDecoder/version``.
    package var version: MQTTVersion? { self.decoder.version }

    /// May change between packets: what an unknown client may send is less.
    package var limits: MQTTDecoder.Limits {
        get { self.decoder.limits }
        set { self.decoder.limits = newValue }
    }

    /// Bytes that wait for the rest of their packet.
    package var bufferedBytes: Int { self.input?.readableBytes ?? 0 }

    /// Takes all readable bytes. Let go of other references to them first, or they may be copied once.
    package mutating func feed(_ bytes: inout ByteBuffer) {
        defer { bytes = ByteBuffer() }
        guard !self.isFinished, bytes.readableBytes > 0 else { return }
        if self.input == nil {
            self.input = bytes
            self.isCompact = false
        } else {
            self.input?.writeBuffer(&bytes)
        }
    }

    /// The next packet; nil if more bytes are needed.
    ///
    /// - Throws: once; everything after it is ignored.
    package mutating func next() throws(MQTTError) -> MQTTPacket? {
        guard var input = self.input else { return nil }
        // Growing in place needs the only reference.
        self.input = nil
        do throws(MQTTError) {
            let packet = try self.decoder.decode(&input)
            if packet != nil { self.isCompact = false }
            self.keep(input, partial: packet == nil)
            return packet
        } catch {
            self.isFinished = true
            throw error
        }
    }

    /// Holds on to what is left; what is part of a packet leaves the buffer it came in, once.
    private mutating func keep(_ rest: ByteBuffer, partial: Bool) {
        guard rest.readableBytes > 0 else { return }
        self.input = partial && !self.isCompact ? ByteBuffer(bytes: rest.readableBytesView) : rest
        if partial { self.isCompact = true }
    }
}

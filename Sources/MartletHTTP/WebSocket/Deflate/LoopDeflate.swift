import NIOCore

/// How permessage-deflate is offered.
package struct DeflateSettings: Sendable {
    /// Whether it is used, and what of it a connection keeps.
    package enum Mode: String, CaseIterable, Sendable {
        case off
        /// Each message stands for itself: nothing is kept per connection, and what many get is compressed once.
        case shared
        /// Messages refer to those before them where the client allows it: smaller, for memory and time per connection.
        case context
    }

    package var mode = Mode.shared
    /// 1 (fastest) to 9.
    package var level = 1
    /// Bytes from which a message is compressed.
    package var leastBytes = 256

    package init() {}

    /// Base-2 logarithm of the windows of connections that keep their context.
    static let contextBits: Int32 = 11
    /// zlib's memory level of theirs: with the window 22 KB to compress, and 9 KB to decompress.
    private static let contextMemoryLevel: Int32 = 4
    /// Of those that all connections of a loop share.
    private static let sharedMemoryLevel: Int32 = 6

    package func agreement(_ extensions: [String]) throws(DeflateAgreement.Malformed) -> DeflateAgreement? {
        let agreement = try DeflateAgreement.accept(extensions, contextBits: self.mode == .context ? Self.contextBits : nil)
        return self.mode == .off ? nil : agreement
    }

    func deflater(bits: Int32, keepsContext: Bool) -> Deflater {
        Deflater(
            bits: bits, keepsContext: keepsContext, level: Int32(self.level),
            memoryLevel: keepsContext ? Self.contextMemoryLevel : Self.sharedMemoryLevel)
    }
}

/// What compresses and decompresses for the connections of one loop. Confined to it.
package final class LoopDeflate {
    let settings: DeflateSettings
    let metrics: HTTPMetrics
    /// By window: those that keep nothing.
    private var outputs: [Int32: DeflateOutput] = [:]
    private var inflater: Inflater?
    /// Where a message is compressed before it is known whether that pays.
    private var scratch = ByteBuffer()

    /// Larger buffers are not kept.
    private static let scratchMost = 1 << 20
    /// Bytes that compressing must save.
    private static let leastGain = 8

    package init(settings: DeflateSettings, metrics: HTTPMetrics = HTTPMetrics()) {
        self.settings = settings
        self.metrics = metrics
    }

    /// What compresses for a connection.
    package func output(_ agreement: DeflateAgreement) -> DeflateOutput {
        let (bits, keepsContext) = (agreement.serverBits, agreement.serverKeepsContext)
        if !keepsContext, let output = self.outputs[bits] { return output }
        let output = DeflateOutput(self, self.settings.deflater(bits: bits, keepsContext: keepsContext))
        if !keepsContext { self.outputs[bits] = output }
        return output
    }

    /// What decompresses for a connection.
    func inflater(_ agreement: DeflateAgreement) -> Inflater {
        if agreement.clientKeepsContext { return self.makeInflater(agreement.clientBits, keepsContext: true) }
        if let inflater = self.inflater { return inflater }
        let inflater = self.makeInflater(15, keepsContext: false)
        self.inflater = inflater
        return inflater
    }

    private func makeInflater(_ bits: Int32, keepsContext: Bool) -> Inflater {
        Inflater(bits: bits, keepsContext: keepsContext) { [metrics] deflated, plain in metrics.inflated(from: deflated, to: plain) }
    }

    fileprivate func withDeflated<Result>(_ message: ByteBufferView, _ deflater: Deflater, _ body: (ByteBuffer) -> Result) -> Result? {
        guard message.count >= max(1, self.settings.leastBytes) else { return nil }
        self.scratch.clear()
        let isDone = message.withUnsafeBytes { deflater.deflate($0, into: &self.scratch) }
        defer { if self.scratch.capacity > Self.scratchMost { self.scratch = ByteBuffer() } }
        guard isDone, deflater.keepsContext || self.scratch.readableBytes + Self.leastGain < message.count else { return nil }
        self.metrics.deflated(from: message.count, to: self.scratch.readableBytes)
        return body(self.scratch)
    }
}

/// What the messages of connections are compressed with: of all that agreed on a window, or of one that keeps its context.
package final class DeflateOutput {
    private let loop: LoopDeflate
    private let deflater: Deflater

    init(_ loop: LoopDeflate, _ deflater: Deflater) {
        self.loop = loop
        self.deflater = deflater
    }

    var leastBytes: Int { self.loop.settings.leastBytes }
    var bits: Int32 { self.deflater.bits }
    /// Each message must be compressed for the one connection, and sent.
    var keepsContext: Bool { self.deflater.keepsContext }

    /// Lends a message's compressed form.
    ///
    /// - Returns: nil if it is better sent as it is.
    func withDeflated<Result>(_ message: ByteBufferView, _ body: (ByteBuffer) -> Result) -> Result? {
        self.loop.withDeflated(message, self.deflater, body)
    }
}

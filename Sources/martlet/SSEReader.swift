import NIOCore

/// Reads server-sent events (WHATWG HTML §9.2.6) that arrive in pieces.
struct SSEReader {
    struct Event {
        /// Empty for messages.
        var name = ""
        /// The `data:` lines, joined with LF.
        var data: [UInt8] = []
    }

    /// A line or event is longer than ``maxBytes``.
    struct TooLong: Error {}

    /// Longest line and longest data of an event, in bytes.
    static let maxBytes = 16_777_216

    /// The last `id:`; stands for the next event too.
    private(set) var id: String?
    /// The last `retry:`, in milliseconds.
    private(set) var retryMs: Int64?

    private var line: [UInt8] = []
    private var sawCR = false
    private var event = Event()
    private var hasData = false

    /// Takes the next bytes, and hands out each event that they complete, with the id that stands after it.
    mutating func feed(_ bytes: ByteBuffer, _ handle: (Event, _ id: String?) throws -> Void) throws {
        for byte in bytes.readableBytesView {
            defer { self.sawCR = byte == 0x0d }
            if byte == 0x0a, self.sawCR { continue }
            guard byte == 0x0a || byte == 0x0d else {
                self.line.append(byte)
                guard self.line.count <= Self.maxBytes else { throw TooLong() }
                continue
            }
            if let event = try self.endLine() { try handle(event, self.id) }
        }
    }

    private mutating func endLine() throws -> Event? {
        defer { self.line.removeAll(keepingCapacity: true) }
        guard !self.line.isEmpty else {
            defer {
                self.event = Event()
                self.hasData = false
            }
            return self.hasData ? self.event : nil
        }
        let colon = self.line.firstIndex(of: UInt8(ascii: ":")) ?? self.line.endIndex
        var value = self.line[colon...].dropFirst()
        if value.first == 0x20 { value.removeFirst() }
        switch String(decoding: self.line[..<colon], as: UTF8.self) {
        case "data":
            if self.hasData { self.event.data.append(0x0a) }
            self.hasData = true
            guard self.event.data.count + value.count <= Self.maxBytes else { throw TooLong() }
            self.event.data += value
        case "event": self.event.name = String(decoding: value, as: UTF8.self)
        case "id": if !value.contains(0) { self.id = String(decoding: value, as: UTF8.self) }
        case "retry": if let retry = Int64(String(decoding: value, as: UTF8.self)), retry >= 0 { self.retryMs = retry }
        default: break
        }
        return nil
    }
}

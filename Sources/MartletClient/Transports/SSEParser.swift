/// Reads server-sent events (WHATWG HTML §9.2.6) that arrive in pieces.
package struct SSEParser {
    package struct Event: Sendable, Equatable {
        /// Empty for messages.
        package var name = ""
        /// The `data:` lines, joined with LF.
        package var data: [UInt8] = []
        /// The last `id:` before its end, which stands for later ones too.
        package var id: String?
        /// Whether this event had an `id:` of its own.
        package var hasID = false
    }

    /// Longest line and longest data of an event, in bytes; a longer one ends the connection.
    package static let maxBytes = 16_777_216

    private var id: String?
    private var line: [UInt8] = []
    private var sawCR = false
    private var event = Event()
    private var hasData = false

    package init() {}

    /// Takes the next bytes, and returns the events that they complete.
    ///
    /// - Throws: if a line or event is longer than ``maxBytes``.
    package mutating func feed(_ bytes: some Sequence<UInt8>) throws(SessionEnd) -> [Event] {
        var events: [Event] = []
        for byte in bytes {
            defer { self.sawCR = byte == 0x0d }
            if byte == 0x0a, self.sawCR { continue }
            guard byte == 0x0a || byte == 0x0d else {
                self.line.append(byte)
                guard self.line.count <= Self.maxBytes else { throw .lost("An event was too long.") }
                continue
            }
            if let event = try self.endLine() { events.append(event) }
        }
        return events
    }

    private mutating func endLine() throws(SessionEnd) -> Event? {
        defer { self.line.removeAll(keepingCapacity: true) }
        guard !self.line.isEmpty else {
            defer {
                self.event = Event()
                self.hasData = false
            }
            self.event.id = self.id
            return self.hasData ? self.event : nil
        }
        let colon = self.line.firstIndex(of: UInt8(ascii: ":")) ?? self.line.endIndex
        var value = self.line[colon...].dropFirst()
        if value.first == 0x20 { value.removeFirst() }
        switch String(decoding: self.line[..<colon], as: UTF8.self) {
        case "data":
            if self.hasData { self.event.data.append(0x0a) }
            self.hasData = true
            guard self.event.data.count + value.count <= Self.maxBytes else { throw .lost("An event was too long.") }
            self.event.data += value
        case "event": self.event.name = String(decoding: value, as: UTF8.self)
        case "id" where !value.contains(0):
            self.id = String(decoding: value, as: UTF8.self)
            self.event.hasID = true
        default: break
        }
        return nil
    }
}

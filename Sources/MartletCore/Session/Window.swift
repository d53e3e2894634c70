/// How much may be on its way to a client at once, in messages and bytes, and the share of each lane.
///
/// `low` may take at most half of it, `low` and `medium` together at most three quarters, each at least one message, so
/// that a `high` message always finds room behind at most a window of others. A poll's answer is one piece and has no shares.
package struct Window: Equatable, Sendable {
    package let messages: Int
    package let bytes: Int
    private let hasShares: Bool
    private var messagesInFlight: InlineArray<3, Int32>
    private var bytesInFlight: InlineArray<3, Int32>

    /// - Parameters:
    ///   - messages: at least 1.
    ///   - bytes: at least 1; at most 1 GiB.
    package init(messages: Int, bytes: Int, hasShares: Bool = true) {
        self.messages = max(1, messages)
        self.bytes = min(max(1, bytes), 1 << 30)
        self.hasShares = hasShares
        self.messagesInFlight = .init(repeating: 0)
        self.bytesInFlight = .init(repeating: 0)
    }

    package var isEmpty: Bool { self.inFlight == 0 }

    package var inFlight: Int { Int(self.messagesInFlight[0] + self.messagesInFlight[1] + self.messagesInFlight[2]) }

    package var inFlightBytes: Int { Int(self.bytesInFlight[0]) + Int(self.bytesInFlight[1]) + Int(self.bytesInFlight[2]) }

    package var lowShare: Int { self.hasShares ? max(1, self.messages / 2) : self.messages }
    package var mediumAndLowShare: Int { self.hasShares ? max(1, self.messages * 3 / 4) : self.messages }
    private var lowByteShare: Int { self.hasShares ? self.bytes / 2 : self.bytes }
    private var mediumAndLowByteShare: Int { self.hasShares ? self.bytes * 3 / 4 : self.bytes }

    /// Messages of a priority that may be started now.
    package func room(for priority: Priority) -> Int {
        let total = self.messages - self.inFlight
        let both = self.mediumAndLowShare - Int(self.messagesInFlight[1] + self.messagesInFlight[2])
        switch priority {
        case .high: return max(0, total)
        case .medium: return max(0, min(total, both))
        case .low: return max(0, min(total, both, self.lowShare - Int(self.messagesInFlight[2])))
        }
    }

    /// Bytes of a priority that may be started now.
    package func byteRoom(for priority: Priority) -> Int {
        let total = self.bytes - self.inFlightBytes
        let both = self.mediumAndLowByteShare - Int(self.bytesInFlight[1]) - Int(self.bytesInFlight[2])
        switch priority {
        case .high: return max(0, total)
        case .medium: return max(0, min(total, both))
        case .low: return max(0, min(total, both, self.lowByteShare - Int(self.bytesInFlight[2])))
        }
    }

    /// Whether a message may be started now. One larger than what remains goes when nothing else is in flight.
    package func admits(_ priority: Priority, bytes: Int) -> Bool {
        if self.isEmpty { return true }
        return self.room(for: priority) > 0 && bytes <= self.byteRoom(for: priority)
    }

    /// Whether there is any use in asking for more of a priority.
    package func isOpen(for priority: Priority) -> Bool {
        self.isEmpty || (self.room(for: priority) > 0 && self.byteRoom(for: priority) > 0)
    }

    package mutating func started(_ priority: Priority, bytes: Int) {
        self.messagesInFlight[Int(priority.rawValue)] += 1
        self.bytesInFlight[Int(priority.rawValue)] += Int32(clamping: bytes)
    }

    package mutating func finished(_ priority: Priority, bytes: Int) {
        self.messagesInFlight[Int(priority.rawValue)] -= 1
        self.bytesInFlight[Int(priority.rawValue)] -= Int32(clamping: bytes)
    }

    /// Everything has arrived.
    package mutating func clear() {
        self.messagesInFlight = .init(repeating: 0)
        self.bytesInFlight = .init(repeating: 0)
    }

    package static func == (left: Window, right: Window) -> Bool {
        guard left.messages == right.messages, left.bytes == right.bytes else { return false }
        for index in 0..<3
        where left.messagesInFlight[index] != right.messagesInFlight[index]
            || left.bytesInFlight[index] != right.bytesInFlight[index]
        {
            return false
        }
        return true
    }
}

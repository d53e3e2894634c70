/// Messages of topics that were sent to a client and that it has not acked, by the numbers under which they went (MQTT 5.0 §4.3, §4.4).
///
/// Holds no message: what has to be sent again is read by its offset.
package struct Flights: Equatable, Sendable {
    package enum Step: UInt8, Sendable {
        /// At least once: its ack ends it.
        case sent = 1
        /// Exactly once: its receipt is waited for.
        case sentOnce = 2
        /// Exactly once: it was received, and the client is to forget its number.
        case released = 3
    }

    package struct Flight: Equatable, Sendable {
        package var number: UInt16
        package var step: Step
        package var log: TopicLogKind
        /// A retained value, or one handed out by a group: not read by its offset.
        package var isApart: Bool
        package var offset: UInt64

        package init(number: UInt16, step: Step, log: TopicLogKind, isApart: Bool = false, offset: UInt64) {
            self.number = number
            self.step = step
            self.log = log
            self.isApart = isApart
            self.offset = offset
        }
    }

    /// In the order in which they were sent.
    package private(set) var all: [Flight]
    private var lastNumber: UInt16

    /// The largest number; those above are for what is acked in other ways.
    package static let lastOfAll: UInt16 = 0x7fff
    /// As many as may be under way, so that a number is free.
    package static let most = 16_384

    /// - Parameters:
    ///   - all: by the order in which they were sent.
    ///   - lastNumber: the number given out last.
    package init(all: [Flight] = [], lastNumber: UInt16 = 0) {
        self.all = all
        self.lastNumber = min(lastNumber, Self.lastOfAll)
    }

    package var count: Int { self.all.count }
    package var last: UInt16 { self.lastNumber }

    /// Takes off with the next number that is free.
    package mutating func start(_ step: Step, _ log: TopicLogKind, offset: UInt64, isApart: Bool = false) -> UInt16 {
        repeat {
            self.lastNumber = self.lastNumber >= Self.lastOfAll ? 1 : self.lastNumber + 1
        } while self.all.contains { $0.number == self.lastNumber }
        self.all.append(Flight(number: self.lastNumber, step: step, log: log, isApart: isApart, offset: offset))
        return self.lastNumber
    }

    /// The client has acked, or will not take, a message; or it has forgotten its number.
    ///
    /// - Returns: what has landed; nil if there is no such flight in one of these steps.
    package mutating func land(_ number: UInt16, in steps: Step...) -> Flight? {
        guard let index = self.all.firstIndex(where: { $0.number == number }), steps.contains(self.all[index].step) else { return nil }
        return self.all.remove(at: index)
    }

    /// The client has received a message that it is to get exactly once.
    ///
    /// - Returns: whether it is to forget the number; false if there is no such flight.
    package mutating func received(_ number: UInt16) -> Bool {
        guard let index = self.all.firstIndex(where: { $0.number == number }), self.all[index].step != .sent else { return false }
        self.all[index].step = .released
        return true
    }

    /// The first message of a log that was not received; nil if all were.
    package func oldest(in log: TopicLogKind) -> UInt64? {
        self.all.lazy.filter { $0.log == log && !$0.isApart && $0.step != .released }.map(\.offset).min()
    }
}

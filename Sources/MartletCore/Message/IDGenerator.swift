package import MartletWire

/// Gives out ids that grow strictly, whatever the wall clock does.
package struct IDGenerator: Sendable {
    private var milliseconds: Int64
    private var counter: UInt16

    /// - Parameter last: the newest id given out before; nil if none.
    package init(after last: MessageID?) {
        self.milliseconds = last?.milliseconds ?? 0
        self.counter = last.map { UInt16($0.high & 0x0fff) } ?? 0
    }

    /// - Parameter wall: Unix time in milliseconds.
    package mutating func next(wall: Int64, random: UInt64) -> MessageID {
        if wall > self.milliseconds {
            self.milliseconds = wall
            self.counter = 0
        } else if self.counter == 0x0fff {
            self.milliseconds += 1
            self.counter = 0
        } else {
            self.counter += 1
        }
        return MessageID(milliseconds: self.milliseconds, counter: self.counter, random: random)
    }
}

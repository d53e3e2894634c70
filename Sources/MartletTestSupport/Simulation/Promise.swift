/// The promises of docs/architecture.md that the simulation checks, by their numbers.
package enum Promise: Int, CaseIterable, Comparable, Sendable {
    case durable = 1
    case atLeastOnce = 2
    case ackedIsDone = 3
    case order = 4
    case priority = 5
    case ttl = 6
    case collapseAndRecall = 7
    case idempotent = 8
    case bounded = 9
    case isolated = 10
    case noSilentGap = 11

    package static func < (left: Promise, right: Promise) -> Bool { left.rawValue < right.rawValue }
}

/// A promise that a history broke.
package struct Violation: Error, CustomStringConvertible, Sendable {
    package var promise: Promise
    package var what: String

    package var description: String { "promise \(self.promise.rawValue) (\(self.promise)): \(self.what)" }
}

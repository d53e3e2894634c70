/// Nine offsets, one per lane: how far a device has come. 0 is "before the first".
package struct Positions: Hashable, Sendable {
    private var offsets: InlineArray<9, UInt64>

    package init() { self.offsets = .init(repeating: 0) }

    /// The same offset in every lane.
    package init(all offset: UInt64) { self.offsets = .init(repeating: offset) }

    package subscript(lane: Lane) -> UInt64 {
        get { self.offsets[lane.index] }
        set { self.offsets[lane.index] = newValue }
    }

    /// Moves a lane forward; never back.
    package mutating func advance(_ lane: Lane, to offset: UInt64) {
        if self.offsets[lane.index] < offset { self.offsets[lane.index] = offset }
    }

    /// Moves every lane forward to where `other` is ahead.
    package mutating func advance(to other: Positions) {
        for index in 0..<9 where self.offsets[index] < other.offsets[index] { self.offsets[index] = other.offsets[index] }
    }

    /// Sets the three lanes of one scope.
    package mutating func set(_ scope: Scope, from other: Positions) {
        let first = Int(scope.rawValue) * 3
        for index in first..<first + 3 { self.offsets[index] = other.offsets[index] }
    }

    /// Sets the three lanes of one scope to one offset.
    package mutating func set(_ scope: Scope, to offset: UInt64) {
        let first = Int(scope.rawValue) * 3
        for index in first..<first + 3 { self.offsets[index] = offset }
    }

    /// Whether every lane is at or after `other`.
    package func covers(_ other: Positions) -> Bool {
        for index in 0..<9 where self.offsets[index] < other.offsets[index] { return false }
        return true
    }

    package var largest: UInt64 {
        var result: UInt64 = 0
        for index in 0..<9 { result = max(result, self.offsets[index]) }
        return result
    }

    package static func == (left: Positions, right: Positions) -> Bool {
        for index in 0..<9 where left.offsets[index] != right.offsets[index] { return false }
        return true
    }

    package func hash(into hasher: inout Hasher) {
        for index in 0..<9 { hasher.combine(self.offsets[index]) }
    }
}

extension Positions: CustomStringConvertible {
    package var description: String { "[" + Lane.all.map { String(self[$0]) }.joined(separator: " ") + "]" }
}

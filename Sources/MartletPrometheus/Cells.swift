package import CoreMetrics
import Synchronization

// What the instruments write to. Any thread may, at any time; nothing here locks.

/// A number with a fraction that many threads change.
struct AtomicDouble: ~Copyable {
    private let bits = Atomic<UInt64>(0)

    var value: Double { Double(bitPattern: self.bits.load(ordering: .relaxed)) }

    func set(_ value: Double) { self.bits.store(value.bitPattern, ordering: .relaxed) }

    func add(_ amount: Double) {
        var old = self.bits.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + amount).bitPattern
            let (done, found) = self.bits.weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
            if done { return }
            old = found
        }
    }
}

/// Counts; it never goes down.
final class CounterCell: CounterHandler {
    private let count = Atomic<Int64>(0)

    var value: Int64 { self.count.load(ordering: .relaxed) }

    func increment(by amount: Int64) {
        if amount > 0 { self.count.wrappingAdd(amount, ordering: .relaxed) }
    }

    func reset() { self.count.store(0, ordering: .relaxed) }
}

/// Sums; it never goes down.
final class SumCell: FloatingPointCounterHandler {
    private let sum = AtomicDouble()

    var value: Double { self.sum.value }

    func increment(by amount: Double) {
        if amount > 0, amount.isFinite { self.sum.add(amount) }
    }

    func reset() { self.sum.set(0) }
}

/// The last value.
final class GaugeCell: MeterHandler, RecorderHandler {
    private let last = AtomicDouble()

    var value: Double { self.last.value }

    func set(_ value: Int64) { self.last.set(Double(value)) }
    func set(_ value: Double) { self.last.set(value) }
    func increment(by amount: Double) { self.last.add(amount) }
    func decrement(by amount: Double) { self.last.add(-amount) }
    func record(_ value: Int64) { self.last.set(Double(value)) }
    func record(_ value: Double) { self.last.set(value) }
}

/// How many values lie at or below each bound, and their sum.
final class HistogramCell: TimerHandler, RecorderHandler {
    /// Ascending; what is above the last is counted too.
    let bounds: [Double]
    private let counts: [Count]
    private let sum = AtomicDouble()

    private final class Count: Sendable {
        let value = Atomic<Int>(0)
    }

    init(bounds: [Double]) {
        self.bounds = bounds
        self.counts = (0...bounds.count).map { _ in Count() }
    }

    /// For each bound, and for everything: how many values are at or below it.
    var cumulative: [Int] {
        var total = 0
        return self.counts.map { count in
            total += count.value.load(ordering: .relaxed)
            return total
        }
    }

    var total: Double { self.sum.value }

    func record(_ value: Double) {
        guard value.isFinite else { return }
        var low = 0
        var high = self.bounds.count
        while low < high {
            let middle = (low + high) / 2
            if value <= self.bounds[middle] { high = middle } else { low = middle + 1 }
        }
        self.counts[low].value.wrappingAdd(1, ordering: .relaxed)
        self.sum.add(value)
    }

    func record(_ value: Int64) { self.record(Double(value)) }

    /// A timer's value, in seconds from here on.
    func recordNanoseconds(_ duration: Int64) { self.record(Double(duration) / 1e9) }
}

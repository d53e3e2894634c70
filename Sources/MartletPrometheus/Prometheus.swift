package import CoreMetrics
import Synchronization

/// A backend of swift-metrics that keeps every number in memory and writes them as Prometheus text.
///
/// Counters and meters are what they are called; a recorder that aggregates and a timer become histograms with fixed
/// bounds, a timer's in seconds. Numbers that are cheaper to ask for than to keep are asked for at each collection.
/// Instruments that cannot be shown (the name is already of another kind) take values and show nothing.
package final class Prometheus: MetricsFactory, Sendable {
    package enum Kind: String, Sendable { case counter, gauge, histogram }

    enum Source: Sendable {
        case counter(CounterCell)
        case sum(SumCell)
        case gauge(GaugeCell)
        case histogram(HistogramCell)
        case asked(@Sendable () -> Double?)
    }

    struct Family: Sendable {
        var kind: Kind
        /// By label set as it is written.
        var series: [String: Source] = [:]
    }

    private struct Description {
        var help: String
        var bounds: [Double]
    }

    private struct State {
        var families: [String: Family] = [:]
        var descriptions: [String: Description] = [:]
    }

    private let state = Mutex(State())
    private let labelSets: Int

    /// Bounds of a timer, in seconds: 0.5 ms to 60 s.
    package static let latencyBounds: [Double] = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
    ]

    /// - Parameter labelSets: of one metric, at most; further ones are counted together, with `other` for each value.
    package init(labelSets: Int = 200) { self.labelSets = labelSets }

    /// Says what a metric means. Call before it is made.
    ///
    /// - Parameter bounds: of a histogram, ascending, in the metric's unit.
    package func describe(_ name: String, _ help: String, bounds: [Double] = Prometheus.latencyBounds) {
        self.state.withLock { $0.descriptions[name] = Description(help: help, bounds: bounds) }
    }

    /// Shows a number that is asked for at each collection.
    ///
    /// - Parameter value: called on the collecting thread, must not wait; nil leaves the line out.
    package func ask(
        _ name: String, _ help: String, kind: Kind = .gauge, labels: [(String, String)] = [],
        _ value: @escaping @Sendable () -> Double?
    ) {
        self.describe(name, help)
        _ = self.source(name, labels, kind) { _ in .asked(value) }
    }

    /// Every metric as text, in the exposition format 0.0.4.
    package var text: String {
        let (families, help) = self.state.withLock { ($0.families, $0.descriptions.mapValues(\.help)) }
        var text = ""
        for (name, family) in families.sorted(by: { $0.key < $1.key }) {
            Exposition.write(name, help: help[name], family, to: &text)
        }
        return text
    }

    /// What the counters of a name stand at, by label set as the text has it: `reason="full"`.
    package func counts(of name: String) -> [String: Int64] {
        let family = self.state.withLock { $0.families[name] }
        return (family?.series ?? [:]).compactMapValues { source in
            if case .counter(let cell) = source { cell.value } else { nil }
        }
    }

    /// What a number stands at, by label set as the text has it; 0 if there is no such.
    package func value(of name: String, _ labels: String) -> Double {
        switch self.state.withLock({ $0.families[name]?.series[labels] }) {
        case .counter(let cell): Double(cell.value)
        case .gauge(let cell): cell.value
        case .asked(let ask): ask() ?? 0
        case .sum, .histogram, nil: 0
        }
    }

    /// The source of a label set, made if there is none; nil if the name is of another kind.
    private func source(
        _ label: String, _ dimensions: [(String, String)], _ kind: Kind, _ make: (_ bounds: [Double]) -> Source
    ) -> Source? {
        let name = Exposition.name(label, colons: true)
        return self.state.withLock { state in
            var family = state.families[name] ?? Family(kind: kind)
            guard family.kind == kind else { return nil }
            var labels = Exposition.labels(dimensions)
            if family.series[labels] == nil, family.series.count >= self.labelSets {
                labels = Exposition.labels(dimensions.map { ($0.0, "other") })
            }
            if let known = family.series[labels] { return known }
            let made = make(state.descriptions[name]?.bounds ?? Self.latencyBounds)
            family.series[labels] = made
            state.families[name] = family
            return made
        }
    }

    private func histogram(_ label: String, _ dimensions: [(String, String)]) -> HistogramCell {
        let source = self.source(label, dimensions, .histogram) { .histogram(HistogramCell(bounds: $0)) }
        if case .histogram(let cell) = source { return cell }
        return HistogramCell(bounds: [])
    }

    private func gauge(_ label: String, _ dimensions: [(String, String)]) -> GaugeCell {
        let source = self.source(label, dimensions, .gauge) { _ in .gauge(GaugeCell()) }
        if case .gauge(let cell) = source { return cell }
        return GaugeCell()
    }

    // MARK: MetricsFactory

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        let source = self.source(label, dimensions, .counter) { _ in .counter(CounterCell()) }
        if case .counter(let cell) = source { return cell }
        return CounterCell()
    }

    package func makeFloatingPointCounter(label: String, dimensions: [(String, String)]) -> any FloatingPointCounterHandler {
        let source = self.source(label, dimensions, .counter) { _ in .sum(SumCell()) }
        if case .sum(let cell) = source { return cell }
        return SumCell()
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler { self.gauge(label, dimensions) }

    package func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        aggregate ? self.histogram(label, dimensions) : self.gauge(label, dimensions)
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        self.histogram(label, dimensions)
    }

    // What was counted stays visible: a metric that vanishes looks like a restart.
    package func destroyCounter(_ handler: any CounterHandler) {}
    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    package func destroyMeter(_ handler: any MeterHandler) {}
    package func destroyRecorder(_ handler: any RecorderHandler) {}
    package func destroyTimer(_ handler: any TimerHandler) {}
}

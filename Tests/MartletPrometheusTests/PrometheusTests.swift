import CoreMetrics
import MartletPrometheus
import Testing

struct PrometheusTests {
    let prometheus = Prometheus()

    @Test func countersAndGauges() {
        self.prometheus.describe("jobs_total", "Jobs that were done.")
        let good = Counter(label: "jobs_total", dimensions: [("result", "good")], factory: self.prometheus)
        let bad = Counter(label: "jobs_total", dimensions: [("result", "bad")], factory: self.prometheus)
        good.increment(by: 41)
        good.increment()
        bad.increment(by: -5)
        Meter(label: "open", factory: self.prometheus).increment(by: 3.0)
        Meter(label: "open", factory: self.prometheus).decrement(by: 1.0)
        Gauge(label: "level", factory: self.prometheus).record(0.25)
        FloatingPointCounter(label: "spent_seconds_total", factory: self.prometheus).increment(by: 1.5)
        self.prometheus.ask("asked", "Asked for.") { 7 }
        self.prometheus.ask("unknown", "Not known now.") { nil }
        #expect(
            self.prometheus.text == """
                # HELP asked Asked for.
                # TYPE asked gauge
                asked 7
                # HELP jobs_total Jobs that were done.
                # TYPE jobs_total counter
                jobs_total{result="bad"} 0
                jobs_total{result="good"} 42
                # TYPE level gauge
                level 0.25
                # TYPE open gauge
                open 2
                # TYPE spent_seconds_total counter
                spent_seconds_total 1.5

                """)
    }

    @Test func aTimerIsAHistogramInSeconds() {
        self.prometheus.describe("wait_seconds", "How long.", bounds: [0.001, 0.5])
        let timer = Timer(label: "wait_seconds", dimensions: [("kind", "a")], factory: self.prometheus)
        timer.recordNanoseconds(1_000_000)  // On the bound: in the bucket.
        timer.recordNanoseconds(1_000_001)
        timer.recordNanoseconds(2_000_000_000)
        #expect(
            self.prometheus.text == """
                # HELP wait_seconds How long.
                # TYPE wait_seconds histogram
                wait_seconds_bucket{kind="a",le="0.001"} 1
                wait_seconds_bucket{kind="a",le="0.5"} 2
                wait_seconds_bucket{kind="a",le="+Inf"} 3
                wait_seconds_sum{kind="a"} 2.002000001
                wait_seconds_count{kind="a"} 3

                """)
    }

    @Test func aRecorderHasItsOwnBounds() {
        self.prometheus.describe("size", "How many.", bounds: [1, 10])
        let size = Recorder(label: "size", factory: self.prometheus)
        for value in [1, 2, 10, 11] { size.record(value) }
        size.record(Double.nan)
        #expect(self.prometheus.text.contains("size_bucket{le=\"1\"} 1\nsize_bucket{le=\"10\"} 3\nsize_bucket{le=\"+Inf\"} 4\n"))
        #expect(self.prometheus.text.contains("size_sum 24\nsize_count 4\n"))
    }

    @Test func whatWouldBreakALineIsEscaped() {
        self.prometheus.describe("odd_name", "A back\\slash and\na line, \"quoted\".")
        let counter = Counter(
            label: "odd-name", dimensions: [("a b", "x\"y\\z\nw"), ("0", "ünï")], factory: self.prometheus)
        counter.increment()
        #expect(
            self.prometheus.text == #"""
                # HELP odd_name A back\\slash and\na line, "quoted".
                # TYPE odd_name counter
                odd_name{_="ünï",a_b="x\"y\\z\nw"} 1

                """#)
    }

    @Test func theOrderOfLabelsDoesNotMatter() {
        Counter(label: "c", dimensions: [("a", "1"), ("b", "2")], factory: self.prometheus).increment()
        Counter(label: "c", dimensions: [("b", "2"), ("a", "1")], factory: self.prometheus).increment()
        #expect(self.prometheus.text.contains("c{a=\"1\",b=\"2\"} 2\n"))
    }

    @Test func labelSetsAreBounded() {
        let prometheus = Prometheus(labelSets: 3)
        for name in 0..<1_000 { Counter(label: "c", dimensions: [("name", "\(name)")], factory: prometheus).increment() }
        let lines = prometheus.text.split(separator: "\n").filter { $0.hasPrefix("c{") }
        #expect(lines.count == 4)
        #expect(lines.contains("c{name=\"other\"} 997"))
    }

    @Test func aNameOfAnotherKindShowsNothingAndHarmsNothing() {
        Counter(label: "c", factory: self.prometheus).increment()
        Gauge(label: "c", factory: self.prometheus).record(9)
        Timer(label: "c", factory: self.prometheus).recordSeconds(1)
        #expect(self.prometheus.text == "# TYPE c counter\nc 1\n")
    }

    @Test func numbersArePrometheusNumbers() {
        let gauge = Gauge(label: "g", factory: self.prometheus)
        for (value, text) in [(Double.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"), (1e15, "1000000000000000")] {
            gauge.record(value)
            #expect(self.prometheus.text.hasSuffix("g \(text)\n"))
        }
    }

    @Test func nothingIsLostAmongThreads() async {
        let counter = Counter(label: "c", factory: self.prometheus)
        let meter = Meter(label: "m", factory: self.prometheus)
        let timer = Timer(label: "t", factory: self.prometheus)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<20_000 {
                        counter.increment()
                        meter.increment(by: 1.0)
                        timer.recordSeconds(1)
                    }
                }
            }
        }
        let text = self.prometheus.text
        #expect(text.contains("c 160000\n"))
        #expect(text.contains("m 160000\n"))
        #expect(text.contains("t_sum 160000\nt_count 160000\n"))
    }
}

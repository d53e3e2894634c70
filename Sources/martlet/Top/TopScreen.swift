import Foundation

/// Lays the figures out for a terminal of a given size.
struct TopScreen {
    enum Style: String {
        case plain = ""
        case dim = "2"
        case bold = "1"
        case good = "32"
        case warning = "33"
        case bad = "1;31"
    }

    typealias Line = [(text: String, style: Style)]

    /// How long the history is.
    static let history = 120

    let url: String
    let interval: Double
    /// Whether somebody can press keys.
    let isLive: Bool
    /// Newest last.
    private(set) var published: [Double] = []
    private(set) var delivered: [Double] = []
    private(set) var acked: [Double] = []
    private(set) var deliverTimes: [Double] = []
    private(set) var ackTimes: [Double] = []
    private(set) var commitTimes: [Double] = []
    private(set) var lags: [Double] = []
    private(set) var latest: Figures?
    /// What is wrong now, as a sentence.
    var trouble: String?

    init(url: String, interval: Double, isLive: Bool) {
        self.url = url
        self.interval = interval
        self.isLive = isLive
    }

    mutating func add(_ figures: Figures) {
        func keep(_ value: Double, in list: inout [Double]) {
            list.append(value)
            if list.count > Self.history { list.removeFirst() }
        }
        self.latest = figures
        self.trouble = nil
        keep(figures.publishesPerSecond, in: &self.published)
        keep(figures.deliveriesPerSecond, in: &self.delivered)
        keep(figures.acksPerSecond, in: &self.acked)
        keep(figures.publishToDeliverMs.p99 ?? 0, in: &self.deliverTimes)
        keep(figures.publishToAckMs.p99 ?? 0, in: &self.ackTimes)
        keep(figures.commitMs.p99 ?? 0, in: &self.commitTimes)
        keep(figures.loopLagMs.p99 ?? 0, in: &self.lags)
    }

    /// The screen's lines, none wider than `columns`, no more than `rows`.
    func lines(columns: Int, rows: Int) -> [Line] {
        var lines = [self.head]
        if let trouble = self.trouble { lines.append([(" " + trouble, .bad)]) } else { lines.append([]) }
        if let figures = self.latest {
            lines +=
                self.sessions(figures) + [[]] + self.traffic(figures, columns) + [[]] + self.latency(figures, columns)
                + [[]] + self.rest(figures)
        } else if self.trouble == nil {
            lines.append([(" measuring for \(NumberText.duration(max(1, self.interval))) …", .dim)])
        }
        return lines.prefix(max(1, rows)).map { Self.fit($0, columns) }
    }

    private var head: Line {
        var line: Line = [(" martlet", .bold)]
        if let figures = self.latest { line.append((" \(figures.version)", .bold)) }
        line.append(("   \(self.url)", .plain))
        if let figures = self.latest { line.append(("   up \(NumberText.duration(figures.uptimeSeconds))", .dim)) }
        line.append(("   \(self.isLive ? "every" : "over") \(String(format: "%g", self.interval)) s", .dim))
        if self.isLive { line.append(("   q quits", .dim)) }
        return line
    }

    private func sessions(_ figures: Figures) -> [Line] {
        let total = figures.sessions.values.reduce(0, +)
        let known = ["sse", "websocket", "stream", "ramen", "poll"]
        let names = known + figures.sessions.filter { !known.contains($0.key) && $0.value > 0 }.keys.sorted()
        let parts = names.map { "\($0) \(NumberText.count(figures.sessions[$0] ?? 0))" }.joined(separator: " · ")
        return [
            [(Self.title("sessions"), .dim), (Self.right(NumberText.count(total), 10), .bold), ("   \(parts)", .plain)],
            [
                (Self.title(""), .dim),
                (Self.right("+" + NumberText.rate(figures.openedPerSecond), 10), .plain), (" /s opened", .dim),
                ("   −" + NumberText.rate(figures.closedPerSecond), .plain), (" /s closed", .dim),
                ("   " + NumberText.count(figures.connections), .plain), (" connections", .dim),
            ],
        ]
    }

    private func traffic(_ figures: Figures, _ columns: Int) -> [Line] {
        func line(_ name: String, _ rate: Double, _ history: [Double], _ style: Style = .plain) -> Line {
            [
                (Self.title(name), .dim), (Self.right(NumberText.rate(rate), 10), style), (" /s   ", .dim),
                (NumberText.bars(history, width: columns - 34), .good),
            ]
        }
        var lines = [
            line("published", figures.publishesPerSecond, self.published, .bold),
            line("delivered", figures.deliveriesPerSecond, self.delivered, .bold),
            line("acked", figures.acksPerSecond, self.acked),
        ]
        lines.append([
            (Self.title("redelivered"), .dim), (Self.right(NumberText.rate(figures.redeliveriesPerSecond), 10), .plain),
            (" /s", .dim),
        ])
        return lines
    }

    private func latency(_ figures: Figures, _ columns: Int) -> [Line] {
        func line(_ name: String, _ times: Figures.Quantiles, _ history: [Double], slow: Double) -> Line {
            let style: Style = (times.p99 ?? 0) > slow ? .warning : .plain
            return [
                (Self.title(name), .dim), (Self.right(NumberText.milliseconds(times.p50), 10), .plain),
                (Self.right(NumberText.milliseconds(times.p99), 12), style), ("   ", .plain),
                (NumberText.bars(history, width: columns - 43), style == .plain ? .good : style),
            ]
        }
        return [
            [(Self.title("latency") + Self.right("p50", 10) + Self.right("p99", 12), .dim)],
            line("publish→deliver", figures.publishToDeliverMs, self.deliverTimes, slow: 250),
            line("publish→ack", figures.publishToAckMs, self.ackTimes, slow: 5_000),
            line("store commit", figures.commitMs, self.commitTimes, slow: 250),
            line("event loop lag", figures.loopLagMs, self.lags, slow: 100),
        ]
    }

    private func rest(_ figures: Figures) -> [Line] {
        let store = figures.store
        var stored: Line = [
            (Self.title("store"), .dim),
            store.writable ? ("writable", .good) : ("NOT WRITABLE", .bad),
            ("   \(NumberText.count(store.messages)) messages   \(NumberText.bytes(store.bytes))", .plain),
            ("   queue \(NumberText.count(store.queue))", .plain),
            ("   \(NumberText.rate(store.commitsPerSecond)) commits/s", .plain),
        ]
        if let size = store.messagesPerCommit { stored.append(("   \(NumberText.rate(size)) messages each", .plain)) }
        var lost: Line = []
        if store.expiredPerSecond > 0 { lost.append(("   expired \(NumberText.rate(store.expiredPerSecond))/s", .plain)) }
        if store.droppedPerSecond > 0 {
            lost.append(("   dropped from full inboxes \(NumberText.rate(store.droppedPerSecond))/s", .warning))
        }
        if !lost.isEmpty { lost[0].text = Self.title("") + lost[0].text.dropFirst(3) }
        let process = figures.process
        let fewFiles = process.maxFiles > 0 && process.openFiles > process.maxFiles * 0.8
        let refused = figures.refusedPerSecond.sorted { $0.value > $1.value }
        return [stored] + (lost.isEmpty ? [] : [lost]) + [
            [
                (Self.title("process"), .dim),
                ("cpu \(Int(process.cpuPercent.rounded())) %   memory \(NumberText.bytes(process.memoryBytes))", .plain),
                ("   files \(NumberText.count(process.openFiles)) of \(NumberText.count(process.maxFiles))", fewFiles ? .warning : .plain),
            ],
            [
                (Self.title("refused"), .dim),
                refused.isEmpty
                    ? ("nothing", .plain)
                    : (refused.map { "\($0.key) \(NumberText.rate($0.value))/s" }.joined(separator: " · "), .warning),
            ],
        ]
    }

    private static func title(_ text: String) -> String { " " + text + String(repeating: " ", count: max(1, 17 - text.count)) }

    private static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    private static func fit(_ line: Line, _ columns: Int) -> Line {
        var left = columns
        return line.compactMap { text, style in
            guard left > 0 else { return nil }
            defer { left -= text.count }
            return (String(text.prefix(left)), style)
        }
    }
}

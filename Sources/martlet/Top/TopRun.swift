import Dispatch
import Foundation

/// Reads, waits and shows, until it is told to stop. Everything that happens comes as an event to one loop.
struct TopRun {
    enum View {
        case screen(Terminal)
        case lines
        case table
        case json
    }

    private enum Event: Sendable {
        case tick
        case reading(Result<MetricsText, ClientError>, Double)
        case resized
        case key(UInt8)
        case stop
    }

    private struct Reading {
        var text: MetricsText
        var time: Double
    }

    let source: MetricsSource
    let url: String
    let interval: Double
    let view: View
    let once: Bool

    /// - Returns: why nothing could be shown; nil if it was told to stop, or has shown what it should.
    func run() async -> ClientError? {
        let (events, sink) = AsyncStream.makeStream(of: Event.self)
        let sources = self.sources(sink)
        defer {
            for source in sources { source.cancel() }
            if case .screen(let terminal) = self.view { terminal.restore() }
        }
        let signals = StopSignals { sink.yield(.stop) }
        defer { signals.stop() }
        var screen = TopScreen(url: self.url, interval: self.interval, isLive: self.isScreen)
        var before: Reading?
        var isReading = false
        var count = 0
        self.draw(screen)
        for await event in events {
            switch event {
            case .stop, .key(UInt8(ascii: "q")), .key(UInt8(ascii: "Q")), .key(4): return nil
            case .key: break
            case .resized: self.draw(screen)
            case .tick:
                guard !isReading else { break }
                isReading = true
                Task { [source] in
                    let result = await source.read()
                    sink.yield(.reading(result, Date.now.timeIntervalSince1970))
                }
            case .reading(.failure(let error), _):
                isReading = false
                before = nil
                if self.once || !error.isTemporary { return error }
                if screen.trouble == nil, !self.isScreen { Output.status("\(error.message); trying again") }
                screen.trouble = "trying again every \(String(format: "%g", self.interval)) s: \(error.message)"
                self.draw(screen)
            case .reading(.success(let text), let time):
                isReading = false
                let last = before
                before = Reading(text: text, time: time)
                // Another run of the server counts from zero.
                guard let last, last.text.total("process_start_time_seconds") == text.total("process_start_time_seconds"),
                    time > last.time
                else { break }
                let figures = Figures(
                    MetricsChange(before: last.text, now: text, seconds: time - last.time), time: time)
                screen.add(figures)
                guard self.show(screen, figures, count) else { return nil }
                count += 1
                if self.once { return nil }
            }
        }
        return nil
    }

    private var isScreen: Bool { if case .screen = self.view { true } else { false } }

    private func sources(_ sink: AsyncStream<Event>.Continuation) -> [any DispatchSourceProtocol] {
        let queue = DispatchQueue(label: "martlet.top")
        let timer = DispatchSource.makeTimerSource(queue: queue)
        timer.schedule(deadline: .now(), repeating: self.interval)
        timer.setEventHandler { sink.yield(.tick) }
        var sources: [any DispatchSourceProtocol] = [timer]
        if self.isScreen {
            signal(SIGWINCH, SIG_IGN)
            let resized = DispatchSource.makeSignalSource(signal: SIGWINCH, queue: queue)
            resized.setEventHandler { sink.yield(.resized) }
            sources.append(resized)
            if isatty(0) == 1 {
                let keys = DispatchSource.makeReadSource(fileDescriptor: 0, queue: queue)
                keys.setEventHandler {
                    var byte: UInt8 = 0
                    // The terminal is gone.
                    if read(0, &byte, 1) == 1 { sink.yield(.key(byte)) } else { sink.yield(.stop) }
                }
                sources.append(keys)
            }
        }
        for source in sources { source.resume() }
        return sources
    }

    // MARK: Showing

    private func draw(_ screen: TopScreen) {
        guard case .screen(let terminal) = self.view else { return }
        let size = terminal.size
        terminal.show(screen.lines(columns: size.columns, rows: size.rows))
    }

    /// - Returns: whether somebody still reads.
    private func show(_ screen: TopScreen, _ figures: Figures, _ count: Int) -> Bool {
        do {
            switch self.view {
            case .screen: self.draw(screen)
            case .table:
                for line in screen.lines(columns: 120, rows: 60) { try Output.line(line.map(\.text).joined().utf8) }
            case .json:
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                try Output.line(encoder.encode(figures))
            case .lines:
                if count % 20 == 0 { try Output.line(Self.lineHead.utf8) }
                try Output.line(Self.line(figures).utf8)
            }
            return true
        } catch {
            return false
        }
    }

    private static let columns = [9, 9, 11, 11, 9, 12, 12, 12, 9, 9, 10]
    private static let lineHead = Self.row([
        "time", "sessions", "published/s", "delivered/s", "acked/s", "deliver p50", "deliver p99", "commit p99", "queue",
        "memory", "refused/s",
    ])

    private static func line(_ figures: Figures) -> String {
        let time = Int(figures.time) % 86_400
        return self.row([
            String(format: "%02d:%02d:%02d", time / 3_600, time / 60 % 60, time % 60),
            NumberText.count(figures.sessions.values.reduce(0, +)), NumberText.rate(figures.publishesPerSecond),
            NumberText.rate(figures.deliveriesPerSecond), NumberText.rate(figures.acksPerSecond),
            NumberText.milliseconds(figures.publishToDeliverMs.p50), NumberText.milliseconds(figures.publishToDeliverMs.p99),
            NumberText.milliseconds(figures.commitMs.p99), NumberText.count(figures.store.queue),
            NumberText.bytes(figures.process.memoryBytes), NumberText.rate(figures.refusedPerSecond.values.reduce(0, +)),
        ])
    }

    private static func row(_ cells: [String]) -> String {
        zip(cells, self.columns).map { String(repeating: " ", count: max(0, $1 - $0.count)) + $0 }.joined(separator: " ")
    }
}

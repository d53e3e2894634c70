import AsyncHTTPClient
import Foundation
import MartletClient
import NIOCore
import NIOHTTP1
import Synchronization

/// From publishing a message until its publisher can see that it was delivered.
struct DeliveredScenario {
    let devices: Int
    let seconds: Double
    /// Seconds between the acks of an SSE client; 0: each message is acked at once.
    let ackEvery: Double

    /// Longest time that a publisher waits for one message, in seconds.
    private static let patience = 90.0

    private struct Found: Sendable {
        var delivered = Histogram()
        var lost = 0
        var problem: String?
    }

    /// What all publishers found.
    private final class Tally: Sendable {
        let found = Mutex(Found())
    }

    func run(_ run: BenchRun) async throws -> BenchReport {
        let target = run.target
        let mark = run.mark
        let name: @Sendable (Int) -> String = { "bench-\(mark)-\($0)" }
        let fleet = try await run.fleet(MemberBehaviour(acks: true))
        let readers = AckingReaders()
        if target.transport == .sse {
            run.progress.phase("connecting \(self.devices) SSE subscribers")
            for index in 0..<self.devices { try await readers.start(run, user: name(index), ackEvery: self.ackEvery) }
        } else {
            let base = target.prefix + target.transport.path
            _ = try await run.connect(fleet, 0..<self.devices) { "\(base)?user=\(name($0))&device=\(name($0))" }
        }
        let key = run.options.key
        let client = Client(run.options.server.url, silence: .seconds(60)) { try key.credential() }
        // What is needed once is not counted; with late acks it is nothing beside them.
        for index in 0..<(self.ackEvery > 0 ? 0 : self.devices) { _ = try await self.follow(client, user: name(index), number: 1, run.payload) }
        try await fleet.reset()
        let before = run.process.use()
        let started = LoadLoop.now()
        let end = started + UInt64(self.seconds * 1e9)
        let payload = run.payload
        let tally = Tally()
        run.progress.phase("publishing, and waiting for \"delivered\"")
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<self.devices {
                group.addTask {
                    var number = 2
                    while LoadLoop.now() < end {
                        do {
                            if let taken = try await self.follow(client, user: name(index), number: number, payload) {
                                tally.found.withLock { $0.delivered.add(taken) }
                            } else {
                                tally.found.withLock { $0.lost += 1 }
                            }
                        } catch {
                            let problem = (error as? ClientError)?.message ?? "\(error)"
                            tally.found.withLock { $0.problem = $0.problem ?? problem }
                            return
                        }
                        number += 1
                    }
                }
            }
        }
        let after = run.process.use()
        let seconds = Double(LoadLoop.now() - started) / 1e9
        var snapshot = try await fleet.snapshot()
        await readers.stop()
        snapshot.latency.add(readers.latency)
        await client.shutdown()
        try await fleet.drop()
        return self.report(run, tally.found.withLock { $0 }, snapshot, before, after, seconds)
    }

    private func report(
        _ run: BenchRun, _ found: Found, _ snapshot: LoadSnapshot, _ before: ServerUse?, _ after: ServerUse?, _ seconds: Double
    ) -> BenchReport {
        let acks = self.ackEvery > 0 ? ", acked every \(NumberText.rate(self.ackEvery)) s" : ", acked at once"
        var report = BenchReport(
            "delivered",
            title:
                "delivered: \(self.devices) devices over \(run.target.transport.name)\(acks), each sent the next message when the last one is seen as delivered"
        )
        report.set("transport", run.target.transport.rawValue)
        report.set("ackEverySeconds", self.ackEvery)
        report.row("messages", "\(NumberText.count(Double(found.delivered.count))), not delivered in time \(found.lost)")
        report.set("messages", Double(found.delivered.count))
        report.set("lost", Double(found.lost))
        report.times("publish → received", "latency", snapshot.latency)
        report.times("publish → seen as delivered", "delivered", found.delivered)
        report.use(before, after, per: "message", count: found.delivered.count, seconds: seconds)
        if found.lost > 0 { report.fault("\(found.lost) messages were not delivered within \(Int(Self.patience)) s") }
        if let problem = found.problem { report.fault(problem) }
        if found.delivered.count == 0 { report.fault("no message was delivered: \(snapshot.counts.problem ?? "no reason was given")") }
        return report
    }

    /// Publishes a message and asks what became of it until it is delivered.
    ///
    /// - Returns: nanoseconds until that was seen; nil if it took too long.
    private func follow(_ client: Client, user: String, number: Int, _ payload: Int) async throws -> UInt64? {
        let started = LoadLoop.now()
        var body = Array(#"{"to":{"user":"\#(user)"},"data":"#.utf8)
        Stamp(time: started, number: number, stream: 1).append(to: &body, length: payload)
        body += "}".utf8
        let answer = String(buffer: try await client.post(client.server.url("/v1/messages"), contentType: "application/json", body))
        guard let id = answer.split(separator: "\"").dropFirst(3).first else {
            throw ClientError(message: "a publish was answered \(answer)", isTemporary: false)
        }
        var tag: String?
        while Double(LoadLoop.now() - started) / 1e9 < Self.patience {
            // The first question has no tag: it is answered at once only with If-None-Match of something else.
            var request = HTTPClientRequest(url: client.server.url("/v1/messages/\(id)", [("wait", "25")]))
            request.headers.add(name: "If-None-Match", value: tag ?? "\"none\"")
            let response = try await client.execute(request, accepting: 304)
            if let next = response.headers.first(name: "ETag") { tag = next }
            let text = String(buffer: try await response.body.collect(upTo: 65_536))
            if text.contains("\"delivered\":") { return LoadLoop.now() - started }
        }
        return nil
    }
}

/// The place after what a client received and has not acked.
private final class NewestCursor: Sendable {
    let cursor = Mutex<String?>(nil)
}

/// SSE clients that ack over HTTP.
private final class AckingReaders: Sendable {
    private struct State {
        var tasks: [Task<Void, Never>] = []
        var clients: [Client] = []
        var latency = Histogram()
    }

    private let state = Mutex(State())

    var latency: Histogram { self.state.withLock { $0.latency } }

    /// Connects a device; returns once its stream is open.
    func start(_ run: BenchRun, user: String, ackEvery: Double) async throws {
        let token = run.options.token
        let client = Client(run.options.server.url, silence: .seconds(60)) { try token.credential() }
        var request = HTTPClientRequest(url: client.server.url("/v1/sse", [("user", user), ("device", user)]))
        request.headers.add(name: "Accept", value: "text/event-stream")
        let response = try await client.execute(request)
        let newest = NewestCursor()
        let reading = Task {
            var reader = SSEParser()
            do {
                for try await bytes in response.body {
                    for event in try reader.feed(bytes.readableBytesView) {
                        guard event.name.isEmpty, let id = event.id else { continue }
                        let now = LoadLoop.now()
                        event.data.withUnsafeBytes { text in
                            Stamp.find(in: text) { stamp in
                                if stamp.number > 1 { self.state.withLock { $0.latency.add(now - min(now, stamp.time)) } }
                            }
                        }
                        newest.cursor.withLock { $0 = id }
                    }
                    if ackEvery == 0 { try await Self.ack(newest, client, user) }
                }
            } catch {
                // The publishers notice: nothing is delivered any more.
            }
        }
        let acking = Task {
            guard ackEvery > 0 else { return }
            while (try? await Task.sleep(for: .seconds(ackEvery))) != nil { try? await Self.ack(newest, client, user) }
        }
        self.state.withLock {
            $0.tasks += [reading, acking]
            $0.clients.append(client)
        }
    }

    private static func ack(_ newest: NewestCursor, _ client: Client, _ user: String) async throws {
        let cursor = newest.cursor.withLock { cursor in
            defer { cursor = nil }
            return cursor
        }
        guard let cursor else { return }
        let url = client.server.url("/v1/ack", [("user", user), ("device", user)])
        _ = try await client.post(url, contentType: "application/json", Array(#"{"cursor":"\#(cursor)"}"#.utf8))
    }

    func stop() async {
        let (tasks, clients) = self.state.withLock { state in
            defer {
                state.tasks = []
                state.clients = []
            }
            return (state.tasks, state.clients)
        }
        for task in tasks { task.cancel() }
        for client in clients { await client.shutdown() }
    }
}

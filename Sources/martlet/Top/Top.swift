import ArgumentParser
import AsyncHTTPClient
import Dispatch
import Foundation
import NIOCore
import NIOHTTP1

/// `martlet top`: live numbers in the terminal.
struct Top: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a server is doing, live.",
        discussion: """
            Reads /metrics and shows the changes: sessions, rates, latency, the store, the process, refusals.

              martlet top
              martlet top --url https://push.example.com --key mk_…
              martlet top --once --json | jq .publishesPerSecond

            q or Ctrl-C ends it. Without a terminal it prints a line per interval. Outside dev mode the server wants a \
            key with the scope read, unless its metrics are open; MARTLET_KEY holds it as well as --key.
            """)

    @OptionGroup var server: ServerOptions

    @Option(help: ArgumentHelp("An API key with the scope read.", valueName: "key"))
    var key: String?

    @Option(help: ArgumentHelp("Time between two readings.", valueName: "seconds"))
    var interval = 2.0

    @Flag(help: "Measure one interval, print it and end.")
    var once = false

    @Flag(help: "Print one JSON object a line.")
    var json = false

    mutating func validate() throws {
        guard self.interval >= 0.1, self.interval <= 3_600 else {
            throw ValidationError("--interval must be from 0.1 to 3600 seconds.")
        }
    }

    func run() async throws {
        Output.ignoreBrokenPipes()
        let key = self.key ?? ProcessInfo.processInfo.environment["MARTLET_KEY"]
        let source = MetricsSource(self.server.url, key: key)
        let isLive = Terminal.isUsable && !self.once && !self.json
        let run = TopRun(
            source: source, url: self.server.url.description, interval: self.interval,
            view: isLive ? .screen(Terminal()) : self.json ? .json : self.once ? .table : .lines, once: self.once)
        let error = await run.run()
        await source.shutdown()
        if let error {
            Output.status(error.message)
            throw ExitCode(1)
        }
    }
}

/// Fetches `/metrics`.
struct MetricsSource: Sendable {
    private let client: Client
    private let key: String?

    init(_ server: Endpoint, key: String?) {
        self.client = Client(server, silence: .seconds(5))
        self.key = key
    }

    func read() async -> Result<MetricsText, ClientError> {
        var request = HTTPClientRequest(url: self.client.server.url("/metrics"))
        if let key = self.key { request.headers.add(name: "Authorization", value: "Bearer \(key)") }
        do {
            let body = try await self.client.execute(request).body.collect(upTo: 16 << 20)
            return .success(MetricsText(String(buffer: body)))
        } catch let error as ClientError {
            return .failure(error)
        } catch {
            return .failure(ClientError(message: "the answer of \(self.client.server) broke off", isTemporary: true))
        }
    }

    func shutdown() async { await self.client.shutdown() }
}

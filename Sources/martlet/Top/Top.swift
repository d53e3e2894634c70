import ArgumentParser
import AsyncHTTPClient
import Dispatch
import NIOCore

/// `martlet top`: live numbers in the terminal.
struct Top: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a server is doing, live.",
        discussion: """
            Reads /metrics and shows the changes: sessions, rates, latency, the store, the process, refusals.

              martlet top
              MARTLET_KEY=mk_… martlet top --url https://push.example.com
              martlet top --once --json | jq .publishesPerSecond

            q or Ctrl-C ends it. Without a terminal it prints a line per interval. Outside dev mode the server wants a \
            key with the scope read, unless its metrics are open.
            """)

    @OptionGroup var server: ServerOptions
    @OptionGroup var credentials: KeyOptions

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
        let credentials = self.credentials
        let source = MetricsSource(client: Client(self.server.url, silence: .seconds(5)) { try credentials.credential() })
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
    let client: Client

    func read() async -> Result<MetricsText, ClientError> {
        let request = HTTPClientRequest(url: self.client.server.url("/metrics"))
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

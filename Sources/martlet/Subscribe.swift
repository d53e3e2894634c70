import ArgumentParser
import Foundation
import MartletClient

/// `martlet subscribe`.
struct Subscribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the messages of a device or of topics, one a line.",
        discussion: """
            Each message is printed as one line of JSON, at once, and acked within a second after it was printed; \
            what goes on otherwise is said on standard error. When the connection is lost, it connects again and \
            goes on where it was. Exits with 0 after --count messages, when it is told to stop (SIGINT, SIGTERM), or \
            when nobody reads its output any more.

            Examples:
              martlet subscribe --user alice --device a1
              martlet subscribe --user alice --device a1 --count 1 | jq .data
              martlet subscribe --device kiosk-7 --raw >> lines.log
              martlet subscribe --topic chat/lobby --since last:10
              martlet subscribe --topic 'sensors/+/temperature' --topic alarms
              martlet subscribe --user alice --device a1 --cursor-file alice.cursor
              MARTLET_TOKEN=eyJ… martlet subscribe --device a1
            """
    )

    @OptionGroup var server: ServerOptions
    @OptionGroup var access: TokenOptions

    @Option(help: "The user whose messages to get; a token says it by itself.")
    var user: String?

    @Option(help: "The device to be. Without one, messages count from now on and nothing is recorded.")
    var device: String?

    @Option(help: "A topic to subscribe to, or a filter with + and # as levels. May be repeated.")
    var topic: [String] = []

    @Option(help: "Where topics begin: latest, earliest, last:N, or a time such as 2026-11-21T08:00:00Z. (default: latest)")
    var since: String?

    @Option(help: "Exit after this many messages.")
    var count: Int?

    @Option(
        help: "A file that keeps the position: read at the start if it is there, written after messages were printed.")
    var cursorFile: String?

    @Flag(help: "Print only each message's data; a string without its quotes.")
    var raw = false

    func validate() throws {
        guard self.user != nil || self.device != nil || !self.topic.isEmpty || self.access.isGiven else {
            throw ValidationError("Say whose messages: with a --token, or in dev mode with --user, --device, or both, or --topic.")
        }
        guard self.since == nil || !self.topic.isEmpty else { throw ValidationError("--since is for topics: name one with --topic.") }
        if let count = self.count, count < 1 { throw ValidationError("--count must be at least 1.") }
    }

    func run() async throws {
        Output.ignoreBrokenPipes()
        let file = self.cursorFile.map { CursorFile(path: $0) }
        let start: String?
        let token: String?
        do throws(ClientError) {
            start = try file?.read()
            token = try self.access.credential()
        } catch {
            Output.status(error.message)
            throw ExitCode.failure
        }
        guard let url = URL(string: self.server.url.description), url.host?.isEmpty == false else {
            Output.status("\(self.server.url) is not an address: give --url http://HOST:PORT")
            throw ExitCode.failure
        }

        var options = MartletOptions()
        options.store = file ?? MemoryCursorStore()
        options.retry = .init(base: 0.25, most: 15)
        let access = self.access
        let asked: @Sendable () async throws -> String = { try access.credential() ?? "" }
        let martlet = MartletClient.Martlet(
            url: url, user: self.user, device: self.device.map { .named($0) } ?? .none, options: options,
            token: token == nil ? nil : asked)
        let subscriber = Subscriber(
            martlet: martlet, server: self.server.url, file: file, hasInbox: self.user != nil || self.device != nil || token != nil,
            topics: self.topic,
            // With a position it goes on there.
            since: start == nil ? self.since.map { .written($0) } : nil, count: self.count, raw: self.raw)

        let work = Task { await subscriber.run() }
        let signals = StopSignals { work.cancel() }
        let failure = await work.value
        // What is printed is acked before the program ends.
        await martlet.close()
        signals.stop()
        if let failure {
            Output.status(failure.message)
            throw ExitCode.failure
        }
    }
}

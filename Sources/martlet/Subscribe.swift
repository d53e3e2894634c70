import ArgumentParser
import NIOCore

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
        // The server is asked for a heartbeat every 20 s; 1.75 of them without a byte mean that the connection is lost.
        let access = self.access
        let client = Client(self.server.url, silence: .seconds(Subscriber.heartbeatSeconds * 7 / 4)) { try access.credential() }
        let progress = Progress(client: client, user: self.user, device: self.device, file: self.cursorFile)
        let subscriber = Subscriber(
            client: client, progress: progress, user: self.user, device: self.device, topics: self.topic, since: self.since,
            count: self.count, raw: self.raw)
        let start: String?
        do {
            start = try progress.readFile()
        } catch {
            Output.status(error.message)
            await client.shutdown()
            throw ExitCode.failure
        }

        let work = Task { [subscriber] () -> ClientError? in
            var subscriber = subscriber
            return await subscriber.run(from: start)
        }
        let recording = Task {
            while (try? await Task.sleep(for: .seconds(1))) != nil {
                await progress.record()
                // Otherwise `| head -1` would wait for the message after the one it wanted.
                if Output.isClosed { work.cancel() }
            }
        }
        let signals = StopSignals { work.cancel() }
        let failure = await work.value
        signals.stop()
        recording.cancel()
        await recording.value
        await progress.record()
        await client.shutdown()
        if let failure {
            Output.status(failure.message)
            throw ExitCode.failure
        }
    }
}

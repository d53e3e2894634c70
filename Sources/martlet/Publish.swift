import ArgumentParser
import NIOCore

/// `martlet publish`.
struct Publish: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Send a message, or every line of standard input as one.",
        discussion: """
            With DATA one message is sent: DATA as it is if it is JSON, otherwise as a JSON string. Without DATA each \
            line of standard input is a message, in order; empty lines are skipped. Prints the id of each message \
            once the server has stored it. Every message carries an idempotency key, so that trying again after a \
            failure never doubles it. Exits with 0 only if all were accepted.

            Examples:
              martlet publish --user alice '{"trip":42,"state":"arrived"}'
              martlet publish --user alice --user bob --priority high 'Dinner is ready'
              tail -f app.log | martlet publish --device kiosk-7 --type log
              MARTLET_KEY=mk_… martlet publish --user alice 'Dinner is ready'
              martlet publish --topic chat/lobby 'Hello, everybody'
              martlet publish --all --ttl 60 --collapse-key weather < forecasts.ndjson
            """
    )

    @OptionGroup var server: ServerOptions
    @OptionGroup var access: KeyOptions

    @Option(help: "A user to send to: all devices of the user get it. May be repeated.")
    var user: [String] = []

    @Option(help: "A device to send to. May be repeated.")
    var device: [String] = []

    @Option(help: "A topic to publish to: all who subscribe to it get it.")
    var topic: String?

    @Flag(help: "Send to every device of the app.")
    var all = false

    @Option(help: "What kind of message it is, for the receiving app.")
    var type: String?

    @Option(help: "How urgent it is.")
    var priority: MessagePriority?

    @Option(
        help: """
            How long it may wait for a device, in seconds; 0 reaches only who is connected now. (default: 1800; in a topic \
            as long as its history)
            """)
    var ttl: Int?

    @Option(help: "A newer message with the same key replaces this one on devices that have not got it.")
    var collapseKey: String?

    @Flag(help: "Keep it as the topic's value: who subscribes later gets it first.")
    var retain = false

    @Option(help: "Makes a repeat of the same publish harmless for 24 hours. With lines, line N has KEY-N.")
    var idempotencyKey: String?

    @Option(help: "How long to try again when the server cannot be reached or cannot store, in seconds.")
    var retrySeconds = 30

    @Argument(help: "The message's data.")
    var data: String?

    func validate() throws {
        let ways = [!self.user.isEmpty, !self.device.isEmpty, self.topic != nil, self.all].count { $0 }
        guard ways == 1 else { throw ValidationError("Say who gets it: exactly one of --user, --device, --topic and --all.") }
        guard self.topic != nil || !self.retain else { throw ValidationError("--retain is for topics.") }
        guard self.topic == nil || self.priority == nil && self.collapseKey == nil else {
            throw ValidationError("A topic has one lane and does not collapse: leave --priority and --collapse-key out.")
        }
        guard self.retrySeconds >= 0 else { throw ValidationError("--retry-seconds must not be negative.") }
    }

    func run() async throws {
        Output.ignoreBrokenPipes()
        let access = self.access
        let client = Client(
            self.server.url, silence: .seconds(30),
            hint: "publishing needs an API key here: give --key-file FILE or the variable MARTLET_KEY (martlet key create makes a key)"
        ) { try access.credential() }
        let template = MessageTemplate(
            users: self.user, devices: self.device, topic: self.topic, all: self.all, type: self.type,
            priority: self.priority?.rawValue, ttl: self.ttl, collapseKey: self.collapseKey, retain: self.retain)
        var publisher = Publisher(client: client, retrySeconds: self.retrySeconds)
        var accepted = true
        do {
            if let data = self.data {
                let key = self.idempotencyKey ?? MessageTemplate.randomKey()
                accepted = try await publisher.publish([
                    .init(line: 0, body: template.message(Array(data.utf8), key: key))
                ])
            } else {
                accepted = try await self.publishLines(template, with: &publisher)
            }
        } catch let error as ClientError {
            Output.status(error.message)
            accepted = false
        } catch is Output.Closed {
            accepted = false
        }
        await client.shutdown()
        if !accepted { throw ExitCode.failure }
    }

    private func publishLines(_ template: MessageTemplate, with publisher: inout Publisher) async throws -> Bool {
        var input = Input()
        var number = 0
        var accepted = true
        while true {
            let lines: [[UInt8]]?
            do {
                lines = try input.lines()
            } catch {
                Output.status("line \(number + 1) is longer than \(Input.maxLine) bytes; stopped there")
                return false
            }
            guard let lines else { return accepted }
            var batch: [Publisher.Message] = []
            var bytes = 0
            for line in lines {
                number += 1
                let text = line.last == 0x0d ? line.dropLast() : line[...]
                guard !text.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) else { continue }
                guard String(validating: text, as: UTF8.self) != nil else {
                    Output.status("line \(number): is not UTF-8; it was not sent")
                    accepted = false
                    continue
                }
                let key = self.idempotencyKey.map { "\($0)-\(number)" } ?? MessageTemplate.randomKey()
                let body = template.message(Array(text), key: key)
                if batch.count == Publisher.maxBatch || bytes + body.count > Publisher.maxBatchBytes {
                    if try await !publisher.publish(batch) { accepted = false }
                    (batch, bytes) = ([], 0)
                }
                batch.append(.init(line: number, body: body))
                bytes += body.count + 1
            }
            if try await !publisher.publish(batch) { accepted = false }
        }
    }
}

enum MessagePriority: String, ExpressibleByArgument, CaseIterable {
    case high, medium, low
}

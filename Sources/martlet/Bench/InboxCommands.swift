import ArgumentParser

/// `martlet bench storm`.
struct Storm: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Everybody is cut off and comes back at once, with cursors, while publishing goes on.",
        discussion: """
            Each connection is a device of its own with an inbox and one topic that keeps history. First it publishes to the topics \
            for a while. Then all connections are cut at once, every inbox gets a message and the topics go on; and then all \
            connect again at once. A connection has recovered when it has what was published before it came back; the time \
            counts from when all began to connect.

              martlet bench storm --connections 15000

            Needs a server in dev mode: devices are named in the URL. For the topics it sets the namespace martlet-bench-storm, and \
            takes that back at the end.
            """)

    @OptionGroup var options: LoadOptions

    @Option(help: "Connections.")
    var connections = 2_000

    @Option(help: "Topics that they share.")
    var topics = 100

    @Option(help: "Messages a second, over all topics.")
    var rate = 200.0

    @Option(help: ArgumentHelp("How long to publish before all are cut.", valueName: "seconds"))
    var seconds = 3.0

    @Option(help: ArgumentHelp("How long all are away, at least.", valueName: "seconds"))
    var away = 1.0

    func validate() throws {
        try BenchLimits.check(self.connections, self.rate)
        guard (1...100_000).contains(self.topics) else { throw ValidationError("--topics must be from 1 to 100000.") }
        guard self.seconds >= 0, self.seconds <= 3_600, self.away >= 0, self.away <= 600 else {
            throw ValidationError("--seconds must be from 0 to 3600, --away from 0 to 600.")
        }
    }

    func run() async throws {
        try await BenchRun.run(self.options, connections: self.connections) { run in
            [
                try await StormScenario(
                    connections: self.connections, topics: min(self.topics, self.connections), rate: self.rate, seconds: self.seconds,
                    away: self.away
                ).run(run)
            ]
        }
    }
}

/// `martlet bench backlog`.
struct Backlog: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Devices that come back to full inboxes: how soon they have everything.",
        discussion: """
            Publishes durably to inboxes that nobody reads, then connects their devices. A WebSocket acks what it gets, and so \
            never has more than its window on the way; an SSE stream takes what its socket takes.

              martlet bench backlog --messages 100000
              martlet bench backlog --devices 100 --messages 1000 --transport ws

            Needs a server in dev mode: devices are named in the URL.
            """)

    @OptionGroup var options: LoadOptions

    @Option(help: "Messages in each inbox.")
    var messages = 20_000

    @Option(help: "Devices, each of a user of its own.")
    var devices = 1

    func validate() throws {
        try BenchLimits.check(self.devices, 1)
        guard self.messages > 0, self.messages * self.devices <= 10_000_000 else {
            throw ValidationError("From 1 to 10000000 messages can wait, over all devices.")
        }
    }

    func run() async throws {
        try await BenchRun.run(self.options, connections: self.devices) { run in
            [try await BacklogScenario(messages: self.messages, devices: self.devices).run(run)]
        }
    }
}

/// `martlet bench stalled`.
struct Stalled: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "One subscriber that reads nothing: what the others notice of it.",
        discussion: """
            Measures a fan-out, then the same again with one more subscriber that is open and never reads. Latency of the others \
            and the server's memory should stay as they were. When it reads again it finds what the sockets held, then a gap; or the end: \
            Martlet ends a connection whose other side has taken nothing for two heartbeat intervals (50 s).

              martlet bench stalled --stall-seconds 60
            """)

    @OptionGroup var options: LoadOptions
    @OptionGroup var paths: PathOptions
    @OptionGroup var times: RateOptions

    @Option(help: ArgumentHelp("How long one of them reads nothing.", valueName: "seconds"))
    var stallSeconds = 10.0

    @Option(help: "Subscribers that read.")
    var subscribers = 1_000

    @Option(help: "Subscribers that do not.")
    var stalled = 1

    @Option(help: "Messages a second.")
    var rate = 50.0

    func validate() throws {
        try BenchLimits.check(self.subscribers, self.rate)
        try BenchLimits.check(self.stalled, self.rate)
        guard self.stallSeconds >= 0.5, self.stallSeconds <= 3_600 else { throw ValidationError("--stall-seconds must be from 0.5 to 3600.") }
    }

    func run() async throws {
        try await BenchRun.run(self.options, paths: self.paths, connections: self.subscribers + self.stalled) { run in
            [
                try await StalledScenario(
                    subscribers: self.subscribers, stalled: self.stalled, rate: self.rate, seconds: self.times.seconds,
                    stallSeconds: self.stallSeconds
                ).run(run)
            ]
        }
    }
}

/// `martlet bench delivered`.
struct Delivered: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "From publishing a message until its publisher can see that it was delivered.",
        discussion: """
            Each device acks what it gets; its publisher publishes one message, holds `GET /v1/messages/ID?wait=25` until it says \
            delivered, and then publishes the next. WebSocket and gRPC ack on the way back of their connection, SSE by `POST /v1/ack`; with \
            --ack-every it acks now and then, as clients of RAMEN over SSE do every 30 seconds.

              martlet bench delivered --transport grpc
              martlet bench delivered --transport sse --ack-every 30 --devices 200 --seconds 90

            Needs a server in dev mode: devices are named in the URL.
            """)

    @OptionGroup var options: LoadOptions
    @OptionGroup var times: RateOptions

    @Option(help: "Devices, each of a user of its own.")
    var devices = 4

    @Option(help: ArgumentHelp("Time between the acks of an SSE client; 0: each message is acked at once.", valueName: "seconds"))
    var ackEvery = 0.0

    func validate() throws {
        try BenchLimits.check(self.devices, 1)
        guard (0...60).contains(self.ackEvery) else { throw ValidationError("--ack-every must be from 0 to 60.") }
        guard self.ackEvery == 0 || self.options.transport == .sse else { throw ValidationError("--ack-every is for --transport sse.") }
    }

    func run() async throws {
        try await BenchRun.run(self.options, connections: self.devices * 3) { run in
            [try await DeliveredScenario(devices: self.devices, seconds: self.times.seconds, ackEvery: self.ackEvery).run(run)]
        }
    }
}

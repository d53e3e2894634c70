import ArgumentParser

/// `martlet bench`.
struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Put load on a server and say what it cost.",
        discussion: """
            Without a scenario it takes about 20 seconds: fan-out, unicast and idle, each small, against a server in dev mode:

              make run                       (or: martlet serve --dev)
              martlet bench                  a first impression
              martlet bench fan-out --subscribers 10000 --rate 20 --transport ws
              martlet bench idle --connections 19000
              martlet bench storm --json | jq .recoveredSeconds

            How to read it. A message carries the time at which it was handed over to be published, whether a connection was free \
            or not; latency is from there to its arrival at a subscriber, queues included. "lost" is what was accepted and did not arrive; "twice" what \
            came again. "server CPU" is the CPU time of the server's processes divided by what it did: on a busy machine \
            it is steadier than any wall time. "late" says how far this program itself fell behind: if it is more than a \
            few milliseconds, the load is too much for the machine that makes it, and latencies say little.

            For figures that count, keep server and load on different cores (taskset -c 0,1 martlet serve --dev; taskset \
            -c 2,3 martlet bench …), run several times, and take the median. It is plain HTTP, and over loopback it uses \
            many source addresses of 127.0.0.0/8, so that 19,000 connections are possible.

            Another server can be loaded the same way, here nchan:

              martlet bench fan-out --url http://127.0.0.1:8081 \\
                --subscribe-path '/sub/{topic}' --publish-path '/pub/{topic}'

            Exits with 1 if anything was lost, came twice, or was refused.
            """,
        subcommands: [Quick.self, FanOut.self, Unicast.self, Idle.self, Storm.self, Backlog.self, Stalled.self, Delivered.self, MQTTBench.self],
        defaultSubcommand: Quick.self
    )

    /// `martlet bench quick`, which is what `martlet bench` does.
    struct Quick: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "A first impression: fan-out, unicast and idle, each small. About 20 seconds.")

        @OptionGroup var options: LoadOptions

        func run() async throws {
            try await BenchRun.run(self.options, connections: Self.idle) { run in
                var reports = [try await FanOutScenario(subscribers: 1_000, rate: 100, seconds: 4).run(run)]
                reports.append(try await UnicastScenario(topics: 1_000, rate: 2_000, seconds: 4).run(run))
                reports.append(try await IdleScenario(connections: Self.idle, seconds: 2).run(run))
                return reports
            }
        }

        private static let idle = 5_000
    }
}

/// `martlet bench fan-out`.
struct FanOut: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fan-out", abstract: "One topic, many subscribers: every message goes to all of them.",
        discussion: """
            Deliveries a second are --subscribers times --rate. Begin with few and raise --rate until p99 leaves the ground: \
            what is below is what the server can do.

              martlet bench fan-out
              martlet bench fan-out --subscribers 10000 --rate 10 --transport ws --seconds 20
            """)

    @OptionGroup var options: LoadOptions
    @OptionGroup var paths: PathOptions
    @OptionGroup var times: RateOptions

    @Option(help: "Subscribers of the topic.")
    var subscribers = 1_000

    @Option(help: "Messages a second.")
    var rate = 100.0

    @Option(help: "Messages that the topic keeps, set for the namespace martlet-bench-kept; 0 leaves the server's own defaults.")
    var history = 0

    func validate() throws {
        try BenchLimits.check(self.subscribers, self.rate)
        guard (0...1_000_000).contains(self.history) else { throw ValidationError("--history must be from 0 to 1000000.") }
    }

    func run() async throws {
        try await BenchRun.run(self.options, paths: self.paths, connections: self.subscribers) { run in
            [try await FanOutScenario(subscribers: self.subscribers, rate: self.rate, seconds: self.times.seconds, history: self.history).run(run)]
        }
    }
}

/// `martlet bench unicast`.
struct Unicast: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Many topics with one subscriber each: every message goes to one of them.",
        discussion: """
            What a message to one person costs, the publish's request included: each comes over HTTP and goes to the next topic in turn.

              martlet bench unicast --topics 10000 --rate 10000
            """)

    @OptionGroup var options: LoadOptions
    @OptionGroup var paths: PathOptions
    @OptionGroup var times: RateOptions

    @Option(help: "Topics, with one subscriber each.")
    var topics = 1_000

    @Option(help: "Messages a second, over all topics.")
    var rate = 2_000.0

    func validate() throws { try BenchLimits.check(self.topics, self.rate) }

    func run() async throws {
        try await BenchRun.run(self.options, paths: self.paths, connections: self.topics) { run in
            [try await UnicastScenario(topics: self.topics, rate: self.rate, seconds: self.times.seconds).run(run)]
        }
    }
}

/// `martlet bench idle`.
struct Idle: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Connections that only wait: how fast they are opened, and what memory each costs.",
        discussion: """
            Each subscribes to a topic of its own. 200 connections are opened and dropped before, so that what a server needs once \
            is not counted. Memory is the growth of the resident set, so measure a server that was just started.

              martlet bench idle --connections 19000 --transport ws --seconds 10
            """)

    @OptionGroup var options: LoadOptions
    @OptionGroup var paths: PathOptions
    @OptionGroup var times: RateOptions

    @Option(help: "Connections.")
    var connections = 5_000

    func validate() throws { try BenchLimits.check(self.connections, 1) }

    func run() async throws {
        try await BenchRun.run(self.options, paths: self.paths, connections: self.connections) { run in
            [try await IdleScenario(connections: self.connections, seconds: self.times.seconds).run(run)]
        }
    }
}

/// What options of scenarios must be.
enum BenchLimits {
    static func check(_ connections: Int, _ rate: Double) throws {
        guard (1...1_000_000).contains(connections) else { throw ValidationError("At least one connection is needed, and at most 1000000.") }
        guard rate > 0, rate <= 1_000_000 else { throw ValidationError("--rate must be above 0 and at most 1000000.") }
    }
}

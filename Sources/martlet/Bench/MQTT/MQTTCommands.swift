import ArgumentParser
import Foundation

/// `martlet bench mqtt`.
struct MQTTBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mqtt",
        abstract: "Put load on an MQTT broker, Martlet or another, and say what it cost.",
        discussion: """
            MQTT 3.1.1 over TCP: subscribers with QoS 0 or 1 that answer each message with a PUBACK, publishers that publish over MQTT too.

              martlet serve --dev --mqtt-listen 127.0.0.1:1883      (or: mosquitto -p 1883)
              martlet bench mqtt fan-out --subscribers 5000 --rate 20 --qos 1
              martlet bench mqtt unicast --topics 10000 --rate 5000
              martlet bench mqtt idle --connections 15000 --seconds 30
              martlet bench mqtt publish --publishers 16 --window 16 --persistent-subscribers 1 --offline

            How to read it. A message carries the time at which it was due; latency is from there to its arrival, queues included. \
            "server CPU" is the time of the broker's processes, within and without the kernel, divided by what it did. mosquitto works with one \
            thread and Martlet with as many as there are cores, so CPU for each delivery is what compares them, not the rate that \
            one of them reaches. "late" says how far this program itself fell behind: with more than a few milliseconds latencies \
            say little.

            For figures that count, keep broker and load on different cores (taskset -c 0,1 mosquitto …; taskset -c 2,3 martlet \
            bench mqtt …). `make bench-mqtt` does so, with Martlet and mosquitto in turn.

            Exits with 1 if anything was lost, came twice, or was refused.
            """,
        subcommands: [MQTTFanOut.self, MQTTUnicast.self, MQTTIdle.self, MQTTPublish.self]
    )
}

/// What every scenario over MQTT can be told.
struct MQTTOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The broker.", valueName: "host:port"))
    var broker = HostPort.mqtt

    @OptionGroup var login: MQTTLoginOptions
    @OptionGroup var run: RunOptions
}

/// What is told to scenarios that deliver.
struct MQTTDeliveryOptions: ParsableArguments {
    @Option(help: "0 or 1, of subscriptions and of publishes.")
    var qos: UInt8 = 0

    @Option(help: "Connections that publish.")
    var publishers = 1

    func validate() throws {
        guard self.qos <= 1 else { throw ValidationError("--qos must be 0 or 1.") }
        try Self.check(publishers: self.publishers)
    }

    static func check(publishers: Int) throws {
        guard (1...Member.maxStreams).contains(publishers) else { throw ValidationError("--publishers must be from 1 to \(Member.maxStreams).") }
    }
}

/// `martlet bench mqtt fan-out`.
struct MQTTFanOut: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fan-out", abstract: "One topic, many subscribers: every message goes to all of them.",
        discussion: """
            Deliveries a second are --subscribers times --rate; with QoS 1 there are as many PUBACKs.

              martlet bench mqtt fan-out --subscribers 1000 --rate 50
              martlet bench mqtt fan-out --subscribers 5000 --rate 5 --qos 1 --seconds 20
            """)

    @OptionGroup var options: MQTTOptions
    @OptionGroup var delivery: MQTTDeliveryOptions
    @OptionGroup var times: RateOptions

    @Option(help: "Subscribers of the topic.")
    var subscribers = 1_000

    @Option(help: "Messages a second.")
    var rate = 50.0

    func validate() throws { try BenchLimits.check(self.subscribers, self.rate) }

    func run() async throws {
        try await MQTTRun.run(self.options, qos: self.delivery.qos, connections: self.subscribers + self.delivery.publishers) { run in
            try await MQTTDeliveryScenario(
                subscribers: self.subscribers, isFanOut: true, publishers: self.delivery.publishers, rate: self.rate, seconds: self.times.seconds
            ).run(run)
        }
    }
}

/// `martlet bench mqtt unicast`.
struct MQTTUnicast: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unicast", abstract: "Many topics with one subscriber each: every message goes to one of them.",
        discussion: """
            What a message to one client costs, its publish included: messages go to the topics in turn.

              martlet bench mqtt unicast --topics 10000 --rate 5000 --publishers 4
            """)

    @OptionGroup var options: MQTTOptions
    @OptionGroup var delivery: MQTTDeliveryOptions
    @OptionGroup var times: RateOptions

    @Option(help: "Topics, with one subscriber each.")
    var topics = 1_000

    @Option(help: "Messages a second, over all topics.")
    var rate = 2_000.0

    func validate() throws { try BenchLimits.check(self.topics, self.rate) }

    func run() async throws {
        try await MQTTRun.run(self.options, qos: self.delivery.qos, connections: self.topics + self.delivery.publishers) { run in
            try await MQTTDeliveryScenario(
                subscribers: self.topics, isFanOut: false, publishers: self.delivery.publishers, rate: self.rate, seconds: self.times.seconds
            ).run(run)
        }
    }
}

/// `martlet bench mqtt idle`.
struct MQTTIdle: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "idle", abstract: "Connections that only wait: what memory each costs, and what CPU all of them at rest.",
        discussion: """
            Each subscribes to a topic of its own and pings once in its keep alive of 60 seconds, evenly spread. 200 connections \
            are opened and dropped before, so that what a broker needs once is not counted. Memory is the growth of the resident set, \
            so measure a broker that was just started.

              martlet bench mqtt idle --connections 15000 --seconds 30
            """)

    @OptionGroup var options: MQTTOptions
    @OptionGroup var times: RateOptions

    @Option(help: "0 or 1, of the subscriptions.")
    var qos: UInt8 = 0

    @Option(help: "Connections.")
    var connections = 5_000

    func validate() throws {
        try BenchLimits.check(self.connections, 1)
        guard self.qos <= 1 else { throw ValidationError("--qos must be 0 or 1.") }
    }

    func run() async throws {
        try await MQTTRun.run(self.options, qos: self.qos, connections: self.connections + MQTTIdleScenario.warmUp) { run in
            try await MQTTIdleScenario(connections: self.connections, seconds: self.times.seconds).run(run)
        }
    }
}

/// `martlet bench mqtt publish`.
struct MQTTPublish: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "publish", abstract: "As many QoS 1 publishes a second as the broker answers.",
        discussion: """
            Each publisher has --window messages unanswered at any time and sends the next one when a PUBACK comes. With \
            persistent subscribers (clean session off, QoS 1) the broker has to keep each message; they are connected meanwhile, or, \
            with --offline, leave before and come back after, when it shows whether all that was answered is there.

              martlet bench mqtt publish --publishers 1 --window 1
              martlet bench mqtt publish --publishers 64 --window 16 --persistent-subscribers 1 --offline

            How safe an answer is, is the broker's affair: mosquitto with persistence keeps messages in memory and writes its file now and then; \
            Martlet with durability full has flushed the message to disk.
            """)

    @OptionGroup var options: MQTTOptions
    @OptionGroup var times: RateOptions

    @Option(help: "Connections that publish.")
    var publishers = 16

    @Option(help: "Messages that each may have unanswered.")
    var window = 16

    @Option(help: "Topics that the publishers use, in turn.")
    var topics = 1

    @Option(help: "Subscribers of all these topics whose sessions the broker keeps.")
    var persistentSubscribers = 0

    @Flag(help: "The persistent subscribers are away while it publishes.")
    var offline = false

    @Flag(help: "Do not wait for what subscribers that were away find when they come back.")
    var noDrain = false

    func validate() throws {
        try MQTTDeliveryOptions.check(publishers: self.publishers)
        guard (1...1_000).contains(self.window) else { throw ValidationError("--window must be from 1 to 1000.") }
        guard (1...1_000).contains(self.topics) else { throw ValidationError("--topics must be from 1 to 1000.") }
        guard (0...10_000).contains(self.persistentSubscribers) else { throw ValidationError("--persistent-subscribers must be from 0 to 10000.") }
        guard !self.offline || self.persistentSubscribers > 0 else { throw ValidationError("--offline needs --persistent-subscribers.") }
    }

    func run() async throws {
        try await MQTTRun.run(self.options, qos: 1, connections: self.publishers + self.persistentSubscribers) { run in
            try await MQTTPublishScenario(
                publishers: self.publishers, window: self.window, topics: self.topics, subscribers: self.persistentSubscribers,
                isOffline: self.offline, drains: !self.noDrain, seconds: self.times.seconds
            ).run(run)
        }
    }
}

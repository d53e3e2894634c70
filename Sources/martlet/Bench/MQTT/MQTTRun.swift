import NIOCore

/// What a scenario over MQTT works with.
struct MQTTRun {
    let address: SocketAddress
    let broker: HostPort
    let qos: UInt8
    let subscribing: MQTTLogin
    let publishing: MQTTLogin
    let machine: LoadMachine

    /// Runs a scenario, prints what it found, and ends the program with 1 if that is not good.
    static func run(_ options: MQTTOptions, qos: UInt8, connections: Int, _ scenario: (MQTTRun) async throws -> BenchReport) async throws {
        let broker = options.broker
        let (subscribing, publishing) = (try options.login.subscribing(), try options.login.publishing())
        try await LoadMachine.run(options.run, connections: connections, address: broker.resolve, unreachable: Self.unreachable(broker)) { machine in
            let run = MQTTRun(
                address: try broker.resolve(), broker: broker, qos: qos, subscribing: subscribing, publishing: publishing, machine: machine)
            return [try await scenario(run)]
        }
    }

    var process: ServerProcess { self.machine.process }
    var progress: BenchProgress { self.machine.progress }
    var mark: String { self.machine.mark }
    var payload: Int { self.machine.payload }

    /// What all clients of this run are called, with a letter and a number after it: at most 23 letters and digits, which every broker takes.
    private var client: String { "mb\(self.mark)" }

    /// - Parameter isClean: whether the broker forgets the sessions when their connections end.
    func fleet(isClean: Bool = true) async throws -> Fleet {
        let session = MQTTSession(client: "\(self.client)s", qos: self.qos, login: self.subscribing, isClean: isClean)
        return try await Fleet(on: self.machine.subscriberLoops, address: self.address) { life in
            MQTTSubscriber(life, session: session)
        }
    }

    /// Publishes at a steady rate.
    func publisher(_ connections: Int) async throws -> LoadPublisher {
        // Enough for the longest way there and back at the rates of one connection.
        let way = MQTTPublishing(address: self.address, client: "\(self.client)p", qos: self.qos, window: 256, login: self.publishing)
        return try await LoadPublisher(on: self.machine.publisherLoop, way: way, connections: connections)
    }

    /// Publishes as fast as it is answered.
    func pumps(_ count: Int, topics: [String], window: Int) async throws -> MQTTPumps {
        let plan = MQTTPumpPlan(client: "\(self.client)q", topics: topics, window: window, bytes: self.payload, login: self.publishing)
        return try await MQTTPumps(on: self.machine.subscriberLoops, address: self.address, count: count, plan: plan)
    }

    /// Connects subscribers, has them ping, and says how it went.
    ///
    /// - Throws: ``ClientError`` if not a single one could be opened.
    func connect(_ fleet: Fleet, _ indices: Range<Int>, topic: @escaping @Sendable (Int) -> String) async throws -> (
        seconds: Double, counts: LoadCounts
    ) {
        let opening = try await self.machine.connect(fleet, indices, name: "MQTT") {
            "no subscriber could be opened at \(self.broker): \($0). \(Self.hint)"
        } path: {
            topic($0)
        }
        try await fleet.each { $0.ping(every: MQTTSession.keepAlive) }
        return opening
    }

    private static func unreachable(_ broker: HostPort) -> String { "cannot reach \(broker). \(Self.hint)" }

    private static let hint = "Is it running? Start it with: martlet serve --dev --mqtt-listen 127.0.0.1:1883, or: mosquitto -p 1883"
}

import NIOCore

/// What a scenario over HTTP works with.
struct BenchRun {
    let options: LoadOptions
    let target: BenchTarget
    let machine: LoadMachine

    /// Runs a scenario, prints what it found, and ends the program with 1 if that is not good.
    static func run(
        _ options: LoadOptions, paths: PathOptions? = nil, connections: Int, _ scenario: (BenchRun) async throws -> [BenchReport]
    ) async throws {
        func target() throws -> BenchTarget {
            try BenchTarget(
                url: options.server.url, grpc: options.grpc, transport: options.transport, subscribePath: paths?.subscribePath,
                publishPath: paths?.publishPath, subscriberToken: try options.token.credential(), publisherKey: try options.key.credential())
        }
        func address() throws -> SocketAddress { try target().address }
        try await LoadMachine.run(
            options.run, connections: connections + options.publishers, address: address,
            unreachable: "cannot reach \(options.server.url): is it running? Start it with: make run, or: martlet serve --dev"
        ) { machine in
            try await scenario(BenchRun(options: options, target: target(), machine: machine))
        }
    }

    var process: ServerProcess { self.machine.process }
    var progress: BenchProgress { self.machine.progress }
    var mark: String { self.machine.mark }
    var payload: Int { self.machine.payload }

    func fleet(_ behaviour: MemberBehaviour = .init()) async throws -> Fleet {
        let target = self.target
        let streams = target.transport == .grpc ? self.options.streams : nil
        return try await Fleet(
            on: self.machine.subscriberLoops, address: target.subscriberAddress, behaviour: behaviour, streams: streams
        ) { life in
            guard streams == nil else { return GRPCStream(life, target: target) }
            return LoadConnection(life, target: target)
        }
    }

    func publisher() async throws -> LoadPublisher {
        try await LoadPublisher(on: self.machine.publisherLoop, way: self.target, connections: self.options.publishers)
    }

    /// Connects subscribers and says how that went.
    ///
    /// - Throws: ``ClientError`` if not a single one could be opened.
    func connect(_ fleet: Fleet, _ indices: Range<Int>, path: @escaping @Sendable (Int) -> String) async throws -> (
        seconds: Double, counts: LoadCounts
    ) {
        let url = self.options.server.url
        return try await self.machine.connect(fleet, indices, name: self.target.transport.name) {
            "no subscriber could be opened at \(url): \($0); is it running? Start it with: make run"
        } path: {
            path($0)
        }
    }
}

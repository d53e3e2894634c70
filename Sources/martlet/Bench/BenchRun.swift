import ArgumentParser
import Foundation
import NIOCore
import NIOPosix

/// What a scenario works with.
struct BenchRun {
    let options: LoadOptions
    let target: BenchTarget
    let process: ServerProcess
    let progress: BenchProgress
    private let group: MultiThreadedEventLoopGroup
    let subscriberLoops: [any EventLoop]
    let publisherLoop: any EventLoop
    /// Part of every name that this run uses.
    let mark: String

    /// Descriptors that are not subscribers.
    private static let reservedFiles = 100

    /// Runs a scenario, prints what it found, and ends the program with 1 if that is not good.
    static func run(
        _ options: LoadOptions, paths: PathOptions? = nil, connections: Int, _ scenario: (BenchRun) async throws -> [BenchReport]
    ) async throws {
        Output.ignoreBrokenPipes()
        var isGood = true
        do {
            try Self.raiseFileLimit(to: connections + options.publishers + Self.reservedFiles)
            let run = try BenchRun(options, paths)
            defer { run.progress.clear() }
            let reports = try await scenario(run)
            run.progress.clear()
            for report in reports {
                try report.write(asJSON: options.json)
                isGood = isGood && report.faults.isEmpty
            }
            try? await run.group.shutdownGracefully()
        } catch let error as ClientError {
            Output.status(error.message)
            isGood = false
        } catch is Output.Closed {
            isGood = false
        } catch let error as any NIOConnectionFailure {
            Output.status("cannot reach \(options.server.url): is it running? Start it with: make run, or: martlet serve --dev (\(error))")
            isGood = false
        }
        if !isGood { throw ExitCode.failure }
    }

    private init(_ options: LoadOptions, _ paths: PathOptions?) throws {
        self.options = options
        self.target = try BenchTarget(
            url: options.server.url, transport: options.transport, subscribePath: paths?.subscribePath, publishPath: paths?.publishPath,
            subscriberToken: try options.token.credential(), publisherKey: try options.key.credential())
        self.process = ServerProcess(pids: options.pid, target: self.target)
        self.progress = BenchProgress(isQuiet: options.quiet)
        self.group = MultiThreadedEventLoopGroup(numberOfThreads: options.threads + 1)
        let loops = Array(self.group.makeIterator())
        self.subscriberLoops = Array(loops.dropLast())
        self.publisherLoop = loops[loops.count - 1]
        self.mark = String(UInt32.random(in: 0...(.max)), radix: 36)
    }

    /// Bytes of a message.
    var payload: Int { self.options.payload ?? 128 }

    func fleet(_ behaviour: MemberBehaviour = .init()) async throws -> Fleet {
        try await Fleet(on: self.subscriberLoops, target: self.target, behaviour: behaviour)
    }

    func publisher() async throws -> LoadPublisher {
        try await LoadPublisher(on: self.publisherLoop, target: self.target, connections: self.options.publishers)
    }

    /// Connects subscribers and says how that went.
    ///
    /// - Throws: ``ClientError`` if not a single one could be opened.
    func connect(_ fleet: Fleet, _ indices: Range<Int>, path: @escaping @Sendable (Int) -> String) async throws -> (
        seconds: Double, counts: LoadCounts
    ) {
        self.progress.phase("connecting \(NumberText.count(Double(indices.count))) \(self.target.transport.name) subscribers")
        let seconds = try await fleet.connect(indices, path: path)
        let counts = try await fleet.counts()
        guard counts.open > 0 else {
            throw ClientError(
                message:
                    "no subscriber could be opened at \(self.options.server.url): \(counts.problem ?? "no answer"); is it running? Start it with: make run",
                isTemporary: true)
        }
        return (seconds, counts)
    }

    /// Lets the server and this program settle before anything counts.
    func warmUp(_ fleet: Fleet, _ publisher: LoadPublisher, topics: [String], rate: Double) async throws {
        self.progress.phase("warming up")
        let plan = PublishPlan(topics: topics, rate: rate, count: max(1, Int(rate)), bytes: self.payload, firstNumber: 0)
        let result = try await publisher.publish(plan)
        guard result.accepted > 0 else {
            throw ClientError(message: result.problem ?? "no publish was accepted", isTemporary: false)
        }
        try await fleet.wait(quiet: 0.3) { _ in false }
        try await fleet.reset()
    }

    private static func raiseFileLimit(to wanted: Int) throws(ClientError) {
        var limit = rlimit()
        #if canImport(Glibc)
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #else
        let resource = RLIMIT_NOFILE
        #endif
        guard getrlimit(resource, &limit) == 0 else { return }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            setrlimit(resource, &limit)
            getrlimit(resource, &limit)
        }
        guard limit.rlim_cur >= rlim_t(wanted) else {
            throw ClientError(
                message: "\(wanted) open files are needed and \(limit.rlim_cur) allowed: ask for fewer connections, or raise the limit (ulimit -Hn)",
                isTemporary: false)
        }
    }
}

/// What connecting may throw.
protocol NIOConnectionFailure: Error {}
extension NIOConnectionError: NIOConnectionFailure {}
extension ChannelError: NIOConnectionFailure {}
extension IOError: NIOConnectionFailure {}

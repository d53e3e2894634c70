import ArgumentParser
import Foundation
import NIOCore
import NIOPosix

/// What scenarios of any protocol work with: threads, the server's process, what is going on.
struct LoadMachine {
    let options: RunOptions
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
    ///
    /// - Parameters:
    ///   - connections: that it opens at most.
    ///   - address: finds the server.
    ///   - unreachable: what to say if nothing listens there.
    static func run(
        _ options: RunOptions, connections: Int, address: () throws -> SocketAddress, unreachable: String,
        _ scenario: (LoadMachine) async throws -> [BenchReport]
    ) async throws {
        Output.ignoreBrokenPipes()
        var isGood = true
        do {
            try Self.raiseFileLimit(to: connections + Self.reservedFiles)
            let machine = LoadMachine(options, try address())
            defer { machine.progress.clear() }
            let reports = try await scenario(machine)
            machine.progress.clear()
            for report in reports {
                try report.write(asJSON: options.json)
                isGood = isGood && report.faults.isEmpty
            }
            try? await machine.group.shutdownGracefully()
        } catch let error as ClientError {
            Output.status(error.message)
            isGood = false
        } catch is Output.Closed {
            isGood = false
        } catch let error as any NIOConnectionFailure {
            Output.status("\(unreachable) (\(error))")
            isGood = false
        }
        if !isGood { throw ExitCode.failure }
    }

    private init(_ options: RunOptions, _ address: SocketAddress) {
        self.options = options
        self.process = ServerProcess(pids: options.pid, address: address)
        self.progress = BenchProgress(isQuiet: options.quiet)
        self.group = MultiThreadedEventLoopGroup(numberOfThreads: options.threads + 1)
        let loops = Array(self.group.makeIterator())
        self.subscriberLoops = Array(loops.dropLast())
        self.publisherLoop = loops[loops.count - 1]
        self.mark = String(UInt32.random(in: 0...(.max)), radix: 36)
    }

    /// Bytes of a message.
    var payload: Int { self.options.payload ?? 128 }

    /// Connects subscribers and says how that went.
    ///
    /// - Parameters:
    ///   - name: of what they speak.
    ///   - unreachable: what to say if not one could be opened.
    /// - Throws: ``ClientError`` if not a single one could be opened.
    func connect(_ fleet: Fleet, _ indices: Range<Int>, name: String, unreachable: (String) -> String, path: @escaping @Sendable (Int) -> String)
        async throws -> (seconds: Double, counts: LoadCounts)
    {
        self.progress.phase("connecting \(NumberText.count(Double(indices.count))) \(name) subscribers")
        let seconds = try await fleet.connect(indices, path: path)
        let counts = try await fleet.counts()
        guard counts.open > 0 else { throw ClientError(message: unreachable(counts.problem ?? "no answer"), isTemporary: true) }
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

import ArgumentParser
import Foundation

extension BenchTarget.Transport: ExpressibleByArgument {}

/// What every scenario can be told.
struct RunOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Size of a message's data. (default: 128; stalled: 1024)", valueName: "bytes"))
    var payload: Int?

    @Option(help: "Threads for the subscribers; publishing has one more.")
    var threads = 2

    @Option(
        help: ArgumentHelp(
            "A process of the server, to state its CPU and memory. May be repeated. (default: those that listen on the port)", valueName: "pid"))
    var pid: [Int] = []

    @Flag(help: "Print a JSON object in place of the table.")
    var json = false

    @Flag(help: "Do not say how far it is.")
    var quiet = false

    func validate() throws {
        guard (Stamp.maxLength...1_000_000).contains(self.payload ?? 128) else {
            throw ValidationError("--payload must be from \(Stamp.maxLength) to 1000000 bytes: the stamp has to fit.")
        }
        guard (1...64).contains(self.threads) else { throw ValidationError("--threads must be from 1 to 64.") }
    }
}

/// What every scenario over HTTP can be told.
struct LoadOptions: ParsableArguments {
    @OptionGroup var server: ServerOptions
    @OptionGroup var key: KeyOptions
    @OptionGroup var token: TokenOptions

    @Option(help: "How subscribers connect: sse, ws or grpc.")
    var transport = BenchTarget.Transport.sse

    @Option(help: ArgumentHelp("Where the server speaks gRPC, for --transport grpc.", valueName: "host:port"))
    var grpc = HostPort.grpc

    @Option(help: "Streams on each connection, for --transport grpc.")
    var streams = 1

    @Option(help: "Connections that publish.")
    var publishers = 32

    @OptionGroup var run: RunOptions

    func validate() throws {
        guard (1...100_000).contains(self.streams) else { throw ValidationError("--streams must be from 1 to 100000.") }
        guard (1...1_000).contains(self.publishers) else { throw ValidationError("--publishers must be from 1 to 1000.") }
    }
}

/// For servers that are not Martlet.
struct PathOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where to subscribe, with {topic} for its name. (default: /v1/sse?topics={topic}, /v1/ws?topics={topic})", valueName: "path"))
    var subscribePath: String?

    @Option(help: ArgumentHelp("Where to publish. (default: /v1/topics/{topic})", valueName: "path"))
    var publishPath: String?

    func validate() throws {
        for path in [self.subscribePath, self.publishPath] {
            guard let path else { continue }
            guard path.hasPrefix("/"), path.contains("{topic}") else {
                throw ValidationError("A path begins with / and holds {topic}, such as /sub/{topic}.")
            }
        }
    }
}

/// How long, and how fast.
struct RateOptions: ParsableArguments {
    @Option(help: ArgumentHelp("How long to measure.", valueName: "seconds"))
    var seconds = 5.0

    func validate() throws {
        guard self.seconds >= 0.5, self.seconds <= 3_600 else { throw ValidationError("--seconds must be from 0.5 to 3600.") }
    }
}

import CFuzzer
import Glibc

/// `Fuzz TARGET [options of libFuzzer] [corpus…]`; without arguments it lists the targets.
@main
enum Fuzz {
    static let targets: [(name: String, run: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt)] = [
        ("cursor", { Guarded.lend($0, $1, CursorTarget.run) }),
        ("websocket", { Guarded.lend($0, $1, WebSocketTarget.run) }),
        ("deflate", { Guarded.lend($0, $1, DeflateTarget.run) }),
        ("mqtt", { Guarded.lend($0, $1, MQTTTarget.run) }),
        ("grpc", { Guarded.lend($0, $1, GRPCTarget.run) }),
        ("frame", { Guarded.lend($0, $1, FrameTarget.run) }),
        ("ack", { Guarded.lend($0, $1, AckTarget.run) }),
        ("json", { Guarded.lend($0, $1, JSONTarget.run) }),
        ("publish", { Guarded.lend($0, $1, PublishTarget.run) }),
        ("topic-frame", { Guarded.lend($0, $1, PublishTarget.frame) }),
        ("topics", { Guarded.lend($0, $1, TopicsTarget.run) }),
        ("batch", { Guarded.lend($0, $1, BatchTarget.run) }),
        ("query", { Guarded.lend($0, $1, QueryTarget.run) }),
        ("callback", { Guarded.lend($0, $1, CallbackTarget.run) }),
        ("exchange", { Guarded.lend($0, $1, ExchangeTarget.run) }),
        ("token", { Guarded.lend($0, $1, TokenTarget.run) }),
        ("filter", { Guarded.lend($0, $1, FilterTarget.run) }),
        ("namespace", { Guarded.lend($0, $1, NamespaceTarget.run) }),
        ("head", { Guarded.lend($0, $1, HeadTarget.run) }),
        ("proxy", { Guarded.lend($0, $1, ProxyTarget.run) }),
        ("upstream", { Guarded.lend($0, $1, UpstreamTarget.run) }),
        ("forwarded", { Guarded.lend($0, $1, ForwardedTarget.run) }),
    ]

    static func main() {
        // A merge starts this program again with libFuzzer's arguments only.
        let inherited = getenv("FUZZ_TARGET").map { String(cString: $0) }
        let name = inherited ?? CommandLine.arguments.dropFirst().first
        guard let name, let target = self.targets.first(where: { $0.name == name }) else {
            print(self.targets.map(\.name).joined(separator: "\n"))
            exit(name == nil ? 0 : 64)
        }
        setenv("FUZZ_TARGET", name, 1)
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.enumerated()
            .filter { $0.offset != 1 || inherited != nil }.map { strdup($0.element) }
        var count = CInt(arguments.count)
        arguments.append(nil)
        let status = arguments.withUnsafeMutableBufferPointer { buffer in
            var base = buffer.baseAddress
            return LLVMFuzzerRunDriver(&count, &base, target.run)
        }
        exit(status)
    }
}

/// Ends the process, which libFuzzer reports with the input, if a promise does not hold.
func check(_ condition: @autoclosure () -> Bool, _ promise: @autoclosure () -> String) {
    guard !condition() else { return }
    let line = Array("broken promise: \(promise())\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
    abort()
}

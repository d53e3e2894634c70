import GRPCCore
import GRPCNIOTransportHTTP2
public import MartletClient
import MartletProto
import SwiftProtobuf

@available(macOS 15, iOS 18, tvOS 18, watchOS 11, visionOS 2, *)
extension Transport {
    /// gRPC (`martlet.v1.Push/Connect`): a stream both ways, in protobuf.
    ///
    /// - Parameters:
    ///   - host: where gRPC listens; by default the host of the client's URL.
    ///   - port: its port.
    ///   - tls: whether it is encrypted; by default as the client's URL is.
    public static func grpc(host: String? = nil, port: Int = 9_090, tls: Bool? = nil) -> Transport {
        Transport { server in GRPCTransport(host: host ?? server.host, port: port, isTLS: tls ?? server.isTLS) }
    }
}

/// A session as a call of `Push.Connect`, each over a connection of its own.
@available(macOS 15, iOS 18, tvOS 18, watchOS 11, visionOS 2, *)
struct GRPCTransport: MartletTransport {
    let host: String
    let port: Int
    let isTLS: Bool

    var name: String { "grpc" }
    var subscribes: Bool { true }

    func session(_ plan: SessionPlan, outgoing: Outgoing, receive: @escaping @Sendable (ServerFrame) async -> Void) async -> SessionEnd {
        let talk = Locked(Talk())
        do {
            return try await withGRPCClient(
                transport: try .http2NIOPosix(
                    target: .dns(host: self.host, port: self.port), transportSecurity: self.isTLS ? .tls : .plaintext)
            ) { client in
                var options = CallOptions.defaults
                // Coming back is not its task.
                options.waitForReady = false
                options.maxResponseMessageBytes = 16_777_216
                let metadata: Metadata = plan.token.map { ["authorization": "Bearer \($0)"] } ?? [:]
                return try await ProtoPush.Client(wrapping: client).connect(metadata: metadata, options: options) { writer in
                    try await writer.write(.with { $0.hello = Self.hello(plan) })
                    while let frames = await outgoing.next() {
                        for frame in frames { try await writer.write(talk.with { $0.request(frame) }) }
                    }
                } onResponse: { response in
                    switch response.accepted {
                    case .failure(let error): return self.end(error, talk)
                    case .success(let contents):
                        do {
                            for try await part in contents.bodyParts {
                                switch part {
                                case .message(let message):
                                    for frame in talk.with({ $0.frames(message) }) { await receive(frame) }
                                case .trailingMetadata(let trailers): return Self.end(trailers, "") ?? .closed(1_000, "")
                                }
                            }
                            return .lost("The call ended without saying why.")
                        } catch let error as RPCError {
                            return self.end(error, talk)
                        }
                    }
                }
            }
        } catch let error as RPCError {
            return self.end(error, talk)
        } catch {
            return .lost("The connection broke off (\(error)).")
        }
    }

    /// Asks the health service's neighbour nothing: whether a connection can be had is what a session finds out.
    func probe() async -> Bool { true }

    private func end(_ error: RPCError, _ talk: Locked<Talk>) -> SessionEnd {
        let isWelcome = talk.with { $0.isWelcome }
        if !isWelcome, let code = Self.text(error.metadata, "martlet-error-code") {
            let retry = Self.text(error.metadata, "grpc-retry-pushback-ms").flatMap { Int64($0) }
            return .refused(MartletError(.init(rawValue: code), error.message, retryAfterMs: retry))
        }
        if let end = Self.end(error.metadata, error.message) { return end }
        if isWelcome { return .lost("The connection broke off (\(error.message)).") }
        switch error.code {
        case .unavailable: return .unreachable("Nothing answers gRPC at \(self.host):\(self.port).")
        case .unauthenticated: return .refused(MartletError(.unauthorized, error.message))
        case .unimplemented: return .refused(MartletError("not_found", "There is no Martlet at \(self.host):\(self.port)."))
        default: return .lost("The call failed (\(error)).")
        }
    }

    private static func end(_ trailers: Metadata, _ message: String) -> SessionEnd? {
        self.text(trailers, "martlet-close-code").flatMap { Int($0) }.map { .closed($0, message) }
    }

    private static func text(_ metadata: Metadata, _ name: String) -> String? { metadata[stringValues: name].first { _ in true } }

    private static func hello(_ plan: SessionPlan) -> ProtoConnectRequest.Hello {
        .with {
            if plan.token == nil { $0.user = plan.user ?? "" }
            $0.device = plan.device ?? ""
            $0.cursor = plan.cursor ?? ""
            $0.windowMessages = UInt32(clamping: plan.window ?? 0)
            $0.heartbeatMs = UInt32(max(1_000, min(60_000, plan.heartbeat * 1_000)))
            $0.fromNow = plan.fromNow
            $0.topics = plan.topics.map { topic in
                .with {
                    $0.topic = topic
                    $0.since = plan.since?.text ?? ""
                    $0.presence = plan.presence
                }
            }
            $0.noAcks = !plan.acks
        }
    }
}

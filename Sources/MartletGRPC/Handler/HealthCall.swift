import MartletCore
import MartletNet
import MartletProto
import MartletWire
import NIOCore
import SwiftProtobuf

/// `grpc.health.v1.Health`: whether the server can be used (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
final class HealthCall: UnaryCall, Swept, @unchecked Sendable {
    private let isWatch: Bool
    private var isWatching = false
    private var service: String?
    private var said: Grpc_Health_V1_HealthCheckResponse.ServingStatus?

    init(_ stream: GRPCStream, isWatch: Bool) {
        self.isWatch = isWatch
        super.init(stream)
    }

    /// Nobody is asked who they are: it says no more than `/readyz`.
    override var isSigned: Bool { false }
    override var messageBytes: Int { 1_024 }

    override func call(_ message: [UInt8]) throws(WireError) {
        guard let request = try? Grpc_Health_V1_HealthCheckRequest(serializedBytes: message) else {
            throw WireError(.badRequest, "This is no grpc.health.v1.HealthCheckRequest.")
        }
        self.service = request.service
        guard self.isWatch else {
            guard let status = self.status else { return self.stream.finish(GRPCStatus(.notFound, "There is no service of this name.")) }
            self.say(status)
            return self.stream.finish(.ok)
        }
        guard self.stream.connection.startWatching() else {
            return self.stream.finish(GRPCStatus(.resourceExhausted, "This connection watches often enough."))
        }
        self.isWatching = true
        self.say(self.status ?? .serviceUnknown)
        self.stream.list()
        self.stream.state.watch(self)
    }

    /// nil for a service that there is not.
    private var status: Grpc_Health_V1_HealthCheckResponse.ServingStatus? {
        guard self.service == "" || self.service == "martlet.v1.Push" else { return nil }
        return self.services.desk.isDraining || !self.services.isStoreReady() ? .notServing : .serving
    }

    private func say(_ status: Grpc_Health_V1_HealthCheckResponse.ServingStatus) {
        guard status != self.said else { return }
        self.said = status
        let response = Grpc_Health_V1_HealthCheckResponse.with { $0.status = status }
        self.stream.send((try? response.serializedBytes()) ?? [])
    }

    func sweep(now: NIODeadline) {
        guard !self.isOver else { return self.stream.state.unwatch(self) }
        self.say(self.status ?? .serviceUnknown)
    }

    override func over() {
        super.over()
        guard self.isWatching else { return }
        self.isWatching = false
        self.stream.state.unwatch(self)
        self.stream.connection.stoppedWatching()
    }

    override func quiesce() {
        if self.said == .serving { self.say(.notServing) }
        self.stream.finish(GRPCStatus(GRPCServices.draining))
    }
}

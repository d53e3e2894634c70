import Crypto
import MartletCore
import MartletNet
import MartletProto
import MartletWire
import NIOCore
import SwiftProtobuf

extension PublishParser {
    static func grpc(_ app: AppID, _ limits: Limits) -> PublishParser {
        PublishParser(app: app, limits: limits) { Array(SHA256.hash(data: $0)) }
    }
}

/// What a publisher is told.
enum PublishOutcome {
    static func answer(_ outcome: AppendOutcome?) -> Result<MessageID, WireError> {
        switch outcome {
        case .stored(let id, _): .success(id)
        case .conflict: .failure(WireError(.idempotencyConflict, "This idempotency key was used within 24 hours for another message."))
        case .failed, nil: .failure(Self.unavailable)
        }
    }

    static let unavailable = WireError(
        .storeUnavailable, "The message was not stored, because the store cannot be written now: publish it again in a moment.")

    static func response(_ outcome: AppendOutcome?) -> Result<ProtoPublishResponse, WireError> {
        let isRepeated = if case .stored(_, repeated: true) = outcome { true } else { false }
        return self.answer(outcome).map { id in
            .with {
                $0.id = "\(id)"
                $0.replayed = isRepeated
            }
        }
    }
}

/// A call with one message each way.
class UnaryCall: GRPCCall, @unchecked Sendable {
    let stream: GRPCStream
    private var message: ByteBuffer?
    private(set) var isOver = false

    init(_ stream: GRPCStream) { self.stream = stream }

    var services: GRPCServices { self.stream.services }
    var messageBytes: Int { self.services.messageBytes }
    var takesMessages: Bool { true }
    var isSigned: Bool { true }
    var keptBytes: Int { self.message?.readableBytes ?? 0 }

    func received(_ message: ByteBuffer) {
        guard self.message == nil else { return self.stream.finish(GRPCStatus(.invalidArgument, "This method takes one message.")) }
        var message = message
        message.letGo()
        self.message = message
    }

    func requestEnded() {
        guard let message = self.message else {
            return self.stream.finish(GRPCStatus(.invalidArgument, "This method takes one message, and none came."))
        }
        self.message = nil
        do throws(WireError) {
            try self.call(Array(message.readableBytesView))
        } catch {
            self.fail(error)
        }
    }

    /// The request is there. An override.
    ///
    /// - Parameter message: untrusted.
    func call(_ message: [UInt8]) throws(WireError) {}

    func over() {
        self.isOver = true
        self.message = nil
    }

    func quiesce() {}

    func fail(_ error: WireError) {
        self.services.refused(error.code)
        self.stream.finish(GRPCStatus(error))
    }

    /// Runs on the stream's loop, from any thread.
    func onLoop(_ body: @escaping @Sendable () -> Void) {
        let loop = self.stream.state.loop
        if loop.inEventLoop { body() } else { loop.execute(body) }
    }

    static func malformed(_ name: String) -> WireError { WireError(.badRequest, "This is no martlet.v1.\(name).") }
}

/// `Push.Publish`.
final class PublishCall: UnaryCall, @unchecked Sendable {
    private let grant: KeyGrant

    /// - Throws: for who may not publish, before anything is read.
    init(signed stream: GRPCStream) throws(WireError) {
        self.grant = try GRPCAccess(services: stream.services).grant(.publish, stream.head)
        super.init(stream)
        if self.services.desk.isDraining { throw GRPCServices.draining }
    }

    override func call(_ message: [UInt8]) throws(WireError) {
        guard let request = try? ProtoPublishRequest(serializedBytes: message) else { throw Self.malformed("PublishRequest") }
        if let refusal = self.services.countKeyPublish(self.grant, 1) { throw refusal }
        let append = try DraftMapping(parser: .grpc(self.grant.app, self.services.limits)).request(request.message)
        self.services.desk.publish([append]) { [self] outcomes in
            self.onLoop { self.answer(outcomes.first) }
        }
    }

    private func answer(_ outcome: AppendOutcome?) {
        switch PublishOutcome.response(outcome) {
        case .success(let response):
            self.stream.send((try? response.serializedBytes()) ?? [])
            self.stream.finish(.ok)
        case .failure(let error): self.fail(error)
        }
    }
}

/// `Push.PublishBatch`.
final class BatchCall: UnaryCall, @unchecked Sendable {
    private let grant: KeyGrant

    /// - Throws: for who may not publish, before anything is read.
    init(signed stream: GRPCStream) throws(WireError) {
        self.grant = try GRPCAccess(services: stream.services).grant(.publish, stream.head)
        super.init(stream)
        if self.services.desk.isDraining { throw GRPCServices.draining }
    }

    override var messageBytes: Int { self.services.batchBytes }

    override func call(_ message: [UInt8]) throws(WireError) {
        guard let request = try? ProtoPublishBatchRequest(serializedBytes: message) else { throw Self.malformed("PublishBatchRequest") }
        let limit = self.services.limits.batchMessages
        guard !request.messages.isEmpty else { throw WireError(.badRequest, "The batch is empty.") }
        guard request.messages.count <= limit else {
            throw WireError(.batchTooLarge, "A batch may hold \(limit) messages: send it in parts.", limit: limit)
        }
        if let refusal = self.services.countKeyPublish(self.grant, request.messages.count) { throw refusal }
        let mapping = DraftMapping(parser: .grpc(self.grant.app, self.services.limits))
        var appends: [AppendRequest] = []
        var errors: [WireError?] = []
        for draft in request.messages {
            do throws(WireError) {
                appends.append(try mapping.request(draft))
                errors.append(nil)
            } catch {
                errors.append(error)
            }
        }
        guard !appends.isEmpty else { return self.answer(errors, []) }
        let refusals = errors
        self.services.desk.publish(appends) { [self] outcomes in
            self.onLoop { self.answer(refusals, outcomes) }
        }
    }

    private func answer(_ errors: [WireError?], _ outcomes: [AppendOutcome]) {
        if !outcomes.isEmpty, outcomes.allSatisfy({ if case .failed = $0 { true } else { false } }) { return self.fail(PublishOutcome.unavailable) }
        var outcomes = outcomes.makeIterator()
        let response = ProtoPublishBatchResponse.with {
            $0.outcomes = errors.map { error in
                let result = error.map { Result<ProtoPublishResponse, WireError>.failure($0) } ?? PublishOutcome.response(outcomes.next())
                return .with {
                    switch result {
                    case .success(let published): $0.published = published
                    case .failure(let error): $0.error = ProtoError(error)
                    }
                }
            }
        }
        self.stream.send((try? response.serializedBytes()) ?? [])
        self.stream.finish(.ok)
    }
}

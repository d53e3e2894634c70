import Crypto
import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// `POST /v1/messages`: on the data plane, because back ends call it thousands of times a second.
enum PublishAPI {
    static func isBatch(_ headers: HTTPHeaders) -> Bool {
        guard let type = headers.first(name: "content-type") else { return false }
        return type.lowercased().hasPrefix("application/x-ndjson") || type.lowercased().hasPrefix("application/ndjson")
    }

    static func publish(_ request: FrontRequest, front: FrontHandler) {
        let services = front.services
        let grant: KeyGrant
        do throws(WireError) {
            grant = if let key = request.key { key } else { try KeyAccess.grant(.publish, KeyAccess.Shown(request.head.headers), services) }
        } catch {
            Self.refuse(error, front)
            return
        }
        if let refusal = Self.refusal(request, services) { return Self.refuse(refusal, front) }
        let parser = PublishParser(app: grant.app, limits: services.limits) { Array(SHA256.hash(data: $0)) }
        let isBatch = Self.isBatch(request.head.headers)
        // Before anything is parsed: a refusal costs little.
        if services.publishes.isBounded(app: parser.app),
            let refusal = services.publishes.refusal(
                keyID: grant.keyID, app: parser.app, count: isBatch ? Self.lines(request.body, parser.limits) : 1)
        {
            self.refuse(refusal, front)
            return
        }
        if isBatch {
            self.publishBatch(request, parser, front: front)
        } else {
            self.publishOne(request, parser, front: front)
        }
    }

    /// What no publish is taken with, whatever it holds.
    static func refusal(_ request: FrontRequest, _ services: HTTPServices) -> WireError? {
        if services.desk.isDraining { return WireError(.draining, "The server is shutting down: publish again in a moment.") }
        if let coding = request.head.headers.first(name: "content-encoding"), coding.lowercased() != "identity" {
            return WireError(.unsupportedMediaType, "Send the body as it is: Content-Encoding is not supported.")
        }
        return nil
    }

    static func lines(_ body: ByteBuffer, _ limits: Limits) -> Int {
        body.withUnsafeReadableBytes { NDJSONLines($0).prefix(limits.batchMessages).reduce(0) { count, _ in count + 1 } }
    }

    /// Answers with an error before anything came to the store; a batch that is refused as a whole counts as one.
    static func refuse(_ error: WireError, _ front: FrontHandler) {
        front.services.metrics.refusedPublishes()
        front.respond(error)
    }

    // MARK: One

    private static func publishOne(_ request: FrontRequest, _ parser: PublishParser, front: FrontHandler) {
        guard let loop = front.context?.eventLoop else { return }
        let append: AppendRequest
        do throws(WireError) {
            try request.query.allow([])
            let key = request.head.headers.first(name: "idempotency-key")
            // What else a header holds is read in different ways on the way here.
            guard key?.utf8.allSatisfy({ $0 < 0x80 }) ?? true else {
                throw WireError(.badRequest, "The header Idempotency-Key takes ASCII only: put the key into \"idempotencyKey\".")
            }
            append = try request.body.withUnsafeReadableBytesTyped { (bytes) throws(WireError) in
                try parser.parse(bytes, idempotencyKey: key)
            }
        } catch {
            Self.refuse(error, front)
            return
        }
        let bound = NIOLoopBound(front, eventLoop: loop)
        front.services.desk.publish([append]) { outcomes in
            loop.execute { Self.answer(outcomes.first, front: bound.value) }
        }
    }

    static func answer(_ outcome: AppendOutcome?, front: FrontHandler) {
        switch Self.answer(outcome) {
        case .success(let id):
            var body = ByteBufferAllocator().buffer(capacity: 48)
            Self.write(id, to: &body)
            body.writeInteger(UInt8(ascii: "\n"))
            let isRepeated = if case .stored(_, repeated: true) = outcome { true } else { false }
            front.respond(
                status: .accepted, headers: isRepeated ? [("idempotent-replayed", "true")] : [], body: body)
        case .failure(let error): front.respond(error)
        }
    }

    /// What a publisher is told.
    static func answer(_ outcome: AppendOutcome?) -> Result<MessageID, WireError> {
        switch outcome {
        case .stored(let id, _): .success(id)
        case .conflict: .failure(Self.conflict)
        case .failed, nil: .failure(Self.unavailable)
        }
    }

    private static let conflict = WireError(
        .idempotencyConflict, "This idempotency key was used within 24 hours for another message.")
    private static let unavailable = WireError(
        .storeUnavailable, "The message was not stored, because the store cannot be written now: publish it again in a moment.")

    private static func write(_ id: MessageID, to buffer: inout ByteBuffer) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(36)
        id.append(to: &bytes)
        buffer.writeStaticString(#"{"id":""#)
        buffer.writeBytes(bytes)
        buffer.writeStaticString(#""}"#)
    }

    // MARK: Batch

    /// What the lines of a batch came to: for each, nil if it is the next request, else what is wrong with it.
    struct Batch {
        var requests: [AppendRequest] = []
        var errors: [WireError?] = []
    }

    /// - Parameter parse: one line.
    static func parse(
        _ bytes: UnsafeRawBufferPointer, _ limits: Limits,
        _ parse: (UnsafeRawBufferPointer) throws(WireError) -> AppendRequest
    ) throws(WireError) -> Batch {
        var batch = Batch()
        let limit = limits.batchMessages
        for line in NDJSONLines(bytes) {
            guard batch.errors.count < limit else {
                throw WireError(.batchTooLarge, "A batch may hold \(limit) messages: send it in parts.", limit: limit)
            }
            do throws(WireError) {
                batch.requests.append(try parse(UnsafeRawBufferPointer(rebasing: bytes[line])))
                batch.errors.append(nil)
            } catch {
                batch.errors.append(error)
            }
        }
        return batch
    }

    private static func publishBatch(_ request: FrontRequest, _ parser: PublishParser, front: FrontHandler) {
        do throws(WireError) {
            try request.query.allow([])
            try Self.refuseKey(request.head.headers)
            let batch = try request.body.withUnsafeReadableBytesTyped { (bytes) throws(WireError) in
                try Self.parse(bytes, parser.limits) { (line) throws(WireError) in try parser.parse(line) }
            }
            Self.publish(batch, front: front)
        } catch {
            Self.refuse(error, front)
        }
    }

    /// A batch does not have one key for all of it.
    static func refuseKey(_ headers: HTTPHeaders) throws(WireError) {
        guard !headers.contains(name: "idempotency-key") else {
            throw WireError(.badRequest, "A batch has its idempotency keys in its lines: leave the header Idempotency-Key out.")
        }
    }

    /// One result a line, in the order of the lines; a bad line does not stop the others.
    static func publish(_ batch: Batch, front: FrontHandler) {
        guard let loop = front.context?.eventLoop else { return }
        let errors = batch.errors
        let requests = batch.requests
        front.services.metrics.refusedPublishes(errors.count - requests.count)
        guard !errors.isEmpty else {
            Self.refuse(WireError(.badRequest, "The batch is empty: send one JSON message a line."), front)
            return
        }
        guard !requests.isEmpty else {
            front.respond(status: .accepted, contentType: "application/x-ndjson", body: Self.results(errors, []))
            return
        }
        let bound = NIOLoopBound(front, eventLoop: loop)
        front.services.desk.publish(requests) { outcomes in
            // Made on the store's thread only as far as a copy of the ids; the text is written on the loop.
            loop.execute {
                if outcomes.allSatisfy({ if case .failed = $0 { true } else { false } }) {
                    bound.value.respond(Self.unavailable)
                } else {
                    bound.value.respond(
                        status: .accepted, contentType: "application/x-ndjson", body: Self.results(errors, outcomes))
                }
            }
        }
    }

    private static func results(_ errors: [WireError?], _ outcomes: [AppendOutcome]) -> ByteBuffer {
        var body = ByteBufferAllocator().buffer(capacity: errors.count * 48)
        var outcomes = outcomes.makeIterator()
        for error in errors {
            if let error {
                body.writeBytes(error.json)
            } else {
                switch Self.answer(outcomes.next()) {
                case .success(let id): Self.write(id, to: &body)
                case .failure(let error): body.writeBytes(error.json)
                }
            }
            body.writeInteger(UInt8(ascii: "\n"))
        }
        return body
    }
}

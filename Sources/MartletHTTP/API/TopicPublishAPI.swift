import Crypto
import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// `POST /v1/topics/{topic}`: the body is what is published, headers say the rest.
enum TopicPublishAPI {
    /// What the `Content-Type` makes of the body.
    enum Kind: Equatable {
        case text, json, batch
        case binary(String)

        /// - Throws: `unsupported_media_type` for text that is not UTF-8.
        init(_ contentType: String?) throws(WireError) {
            guard let contentType, !contentType.isEmpty else {
                self = .text
                return
            }
            // Mostly it is one of these, as they are.
            switch contentType {
            case "application/json": self = .json
            case "text/plain", "application/x-www-form-urlencoded": self = .text
            case "application/octet-stream": self = .binary(contentType)
            default: self = try Self.parse(contentType)
            }
        }

        private static func parse(_ contentType: String) throws(WireError) -> Kind {
            let parts = contentType.lowercased().split(separator: ";", omittingEmptySubsequences: false)
            let type = self.trimmed(parts[0])
            switch type {
            case "application/json": return .json
            case "application/x-ndjson", "application/ndjson": return .batch
            // What curl says of everything after -d.
            case "application/x-www-form-urlencoded": return .text
            case _ where type.hasPrefix("text/"):
                for parameter in parts.dropFirst() {
                    let parameter = self.trimmed(parameter).filter { $0 != "\"" }
                    guard !parameter.hasPrefix("charset=") || ["utf-8", "utf8", "us-ascii"].contains(parameter.dropFirst(8)) else {
                        throw WireError(
                            .unsupportedMediaType, "Text must be UTF-8: leave the charset out, or send bytes as application/octet-stream.")
                    }
                }
                return .text
            default: return .binary(contentType)
            }
        }

        private static func trimmed(_ text: Substring) -> Substring {
            var text = text
            while text.first == " " || text.first == "\t" { text.removeFirst() }
            while text.last == " " || text.last == "\t" { text.removeLast() }
            return text
        }
    }

    private static let parameters = ["type", "ttl", "retain", "idempotencyKey"]

    static func publish(_ request: FrontRequest, path: Substring, front: FrontHandler) {
        if let refusal = PublishAPI.refusal(request, front.services) { return PublishAPI.refuse(refusal, front) }
        TopicAPI.asker(request, .publish, front: front) { result in
            do throws(WireError) {
                let asker = try result.get()
                try Self.publish(request, topic: try TopicAPI.name(path), asker, front: front)
            } catch {
                PublishAPI.refuse(error, front)
            }
        }
    }

    private static func publish(
        _ request: FrontRequest, topic: String, _ asker: TopicAPI.Asker, front: FrontHandler
    ) throws(WireError) {
        let services = front.services
        let headers = request.head.headers
        let kind = try Kind(headers.first(name: "content-type"))
        try request.query.allow(HelloParser.who + Self.parameters)
        try asker.check(.publish, topic, services)
        let publish = TopicPublish(
            topic: topic, type: try Self.value("message-type", "type", request), ttl: try Self.value("ttl", "ttl", request),
            idempotencyKey: try Self.value("idempotency-key", "idempotencyKey", request), retain: try Self.retains(request))
        let parser = PublishParser(app: asker.app, limits: services.limits) { Array(SHA256.hash(data: $0)) }
        let head = try parser.head(publish)
        let limiter = services.publishes
        // Before the body is parsed: a refusal costs little.
        if limiter.isBounded(app: asker.app) {
            let count = kind == .batch ? PublishAPI.lines(request.body, services.limits) : 1
            let refusal =
                asker.keyID.map { limiter.refusal(keyID: $0, app: asker.app, count: count) }
                ?? limiter.refusal(user: asker.user, app: asker.app, count: count)
            if let refusal { throw refusal }
        }
        guard kind == .batch else { return try self.publish(head, kind, request.body, parser, front: front) }
        guard publish.idempotencyKey == nil else {
            throw WireError(.badRequest, "A batch cannot have one idempotency key: leave it out, or publish the values one by one.")
        }
        let batch = try request.body.withUnsafeReadableBytesTyped { (bytes) throws(WireError) in
            try PublishAPI.parse(bytes, services.limits) { (line) throws(WireError) in try parser.parse(head, .json(line)) }
        }
        PublishAPI.publish(batch, front: front)
    }

    private static func publish(
        _ head: TopicPublishHead, _ kind: Kind, _ body: ByteBuffer, _ parser: PublishParser, front: FrontHandler
    ) throws(WireError) {
        guard let loop = front.context?.eventLoop else { return }
        let append = try body.withUnsafeReadableBytesTyped { (bytes) throws(WireError) in
            switch kind {
            case .text: try parser.parse(head, .text(bytes))
            case .json, .batch: try parser.parse(head, .json(bytes))
            case .binary(let contentType): try parser.parse(head, .binary(bytes, contentType: contentType))
            }
        }
        let bound = NIOLoopBound(front, eventLoop: loop)
        front.services.desk.publish([append]) { outcomes in
            // What is not stored is published at once.
            if loop.inEventLoop {
                PublishAPI.answer(outcomes.first, front: bound.value)
            } else {
                loop.execute { PublishAPI.answer(outcomes.first, front: bound.value) }
            }
        }
    }

    /// What a header says, or for those who cannot set one the query.
    private static func value(_ header: String, _ parameter: String, _ request: FrontRequest) throws(WireError) -> String? {
        let values = request.head.headers[header]
        guard let value = values.first else { return request.query[parameter] }
        guard values.count == 1, request.query[parameter] == nil else {
            throw WireError(.badRequest, "'\(parameter)' is given twice: leave one out.")
        }
        // What else a header holds is read in different ways on the way here.
        guard value.utf8.allSatisfy({ $0 < 0x80 }) else {
            throw WireError(.badRequest, "Header fields take ASCII only: say it in the query, as '\(parameter)'.")
        }
        return value
    }

    private static func retains(_ request: FrontRequest) throws(WireError) -> Bool {
        switch try Self.value("retain", "retain", request) {
        case nil, "false": false
        case "true": true
        default: throw WireError(.badRequest, "'retain' must be true or false.")
        }
    }
}

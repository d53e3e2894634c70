import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// `GET /v1/topics/{topic}`, and `/history`, `/presence` and `/retained` after it.
enum TopicReadAPI {
    enum Action: String, CaseIterable {
        case info, history, presence, retained
    }

    /// What a path asks for. A topic whose own last level is the name of an action is asked for with its slashes encoded.
    ///
    /// - Throws: `bad_request`.
    static func split(_ path: Substring) throws(WireError) -> (topic: String, action: Action) {
        guard let slash = path.lastIndex(of: "/"), let action = Action(rawValue: String(path[path.index(after: slash)...])),
            action != .info
        else { return (try TopicAPI.name(path), .info) }
        return (try TopicAPI.name(path[..<slash]), action)
    }

    static func answer(_ request: FrontRequest, front: FrontHandler) {
        TopicAPI.asker(request, .read, front: front) { result in
            do throws(WireError) {
                let asker = try result.get()
                let (topic, action) = try Self.split(request.path.dropFirst(TopicAPI.prefix.count))
                try Self.answer(request, topic: topic, action, asker, front: front)
            } catch {
                front.respond(error)
            }
        }
    }

    private static func answer(
        _ request: FrontRequest, topic: String, _ action: Action, _ asker: TopicAPI.Asker, front: FrontHandler
    ) throws(WireError) {
        let services = front.services
        if let problem = topicProblem(topic, services.limits, wildcards: false) { throw problem.error }
        let parameters: [String] =
            switch action {
            case .info, .retained: []
            case .history: ["since", "limit", "cursor"]
            case .presence: ["limit", "after"]
            }
        try request.query.allow(HelloParser.who + parameters)
        try asker.check(action == .presence ? .presence : .subscribe, topic, services)
        let key = TopicKey(app: asker.app, name: topic)
        switch action {
        case .info:
            services.topics.info(key, done: Self.answer(front) { TopicJSON.info(topic, $0) })
        case .retained:
            services.topics.retained(
                key,
                done: Self.answer(front) { (message) throws(WireError) in
                    guard let message else { throw WireError(.notFound, "This topic has no retained value.") }
                    return TopicJSON.message(message)
                })
        case .history: try self.history(request, key, front: front)
        case .presence: try self.presence(request, key, front: front)
        }
    }

    private static func history(_ request: FrontRequest, _ key: TopicKey, front: FrontHandler) throws(WireError) {
        let services = front.services
        let limit = try request.query.number("limit", default: 100, 1...1_000)
        let log = services.topics.options(of: key).log
        var missing: TopicGap?
        var start = TopicStart.earliest
        if let text = request.query["cursor"], !text.isEmpty {
            guard request.query["since"] == nil else {
                throw WireError(.badRequest, "'since' and 'cursor' both say where to begin: leave one out.")
            }
            switch try HistoryPlace(parsing: text).offset(of: key, in: log, services) {
            case .success(let offset): start = .after(offset)
            case .failure(let gap): missing = gap
            }
        } else if let text = request.query["since"] {
            start = try TopicStart(parsing: text)
        }
        let gap = missing
        guard log != nil, start != .latest else {
            front.respond(status: .ok, headers: Self.headers, body: ByteBuffer(bytes: TopicJSON.history([], gap: gap, next: nil)))
            return
        }
        let read = TopicReadRequest(
            app: key.app, filter: TopicFilter(topic: key.name), start: start, messages: limit, bytes: Self.historyBytes, now: 0)
        services.topics.history(
            read,
            done: Self.answer(front) { slice in
                let next = slice.more ? HistoryPlace(slice.position, of: key, in: log, services).text : nil
                return TopicJSON.history(slice.entries.map(\.message), gap: gap ?? slice.gaps.first, next: next)
            })
    }

    /// Bytes of one page of history.
    private static let historyBytes = 1_048_576

    private static func presence(_ request: FrontRequest, _ key: TopicKey, front: FrontHandler) throws(WireError) {
        let limit = try request.query.number("limit", default: 100, 0...1_000)
        let after = try request.query["after"].map { (text) throws(WireError) in try PresencePlace.parse(text) }
        let page = front.services.topics.presence(key, limit: limit, after: after)
        front.respond(status: .ok, headers: Self.headers, body: ByteBuffer(bytes: TopicJSON.presence(page)))
    }

    private static let headers = [("cache-control", "no-cache")]

    /// Answers on the connection's loop, whatever thread the desk ends on.
    private static func answer<Value: Sendable>(
        _ front: FrontHandler, _ body: @escaping @Sendable (Value) throws(WireError) -> [UInt8]
    ) -> @Sendable (Result<Value, StoreError>) -> Void {
        guard let loop = front.context?.eventLoop else { return { _ in } }
        let bound = NIOLoopBound(front, eventLoop: loop)
        return { result in
            loop.execute {
                do throws(WireError) {
                    guard case .success(let value) = result else {
                        throw WireError(.storeUnavailable, "The store cannot be read now: try again in a moment.")
                    }
                    bound.value.respond(status: .ok, headers: Self.headers, body: ByteBuffer(bytes: try body(value)))
                } catch {
                    bound.value.respond(error)
                }
            }
        }
    }
}

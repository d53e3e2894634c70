import HTTPTypes
import Hummingbird
import MartletCore
import MartletWire
import NIOCore

/// `/v1/namespaces`: what topics do, by the first level of their names.
struct NamespaceRoutes {
    let services: HTTPServices

    func add(to router: Router<BasicRequestContext>) {
        router.get("/v1/namespaces") { request, _ in
            let app = try self.app(request)
            return Self.answer(self.list(app))
        }
        router.get("/v1/namespaces/{name}") { request, context in
            let app = try self.app(request)
            return Self.answer(Self.json(self.services.namespaces.namespace(try self.name(context), in: app)))
        }
        router.put("/v1/namespaces/{name}") { request, context in
            let app = try self.app(request)
            let name = try self.name(context)
            let body = try await request.body.collect(upTo: self.services.limits.messageBytes)
            let change = try body.withUnsafeReadableBytesTyped { (bytes) throws(WireError) in try TopicOptionsJSON.change(bytes) }
            try self.checkCount(name, app)
            try await self.set(name, app, change)
            return Self.answer(Self.json(self.services.namespaces.namespace(name, in: app)))
        }
        router.delete("/v1/namespaces/{name}") { request, context in
            let app = try self.app(request)
            let name = try self.name(context)
            guard self.services.namespaces.namespace(name, in: app).change != nil else {
                throw WireError(.notFound, "Nothing was set for this namespace through the API.")
            }
            try await self.set(name, app, nil)
            return Self.answer(Self.json(self.services.namespaces.namespace(name, in: app)))
        }
    }

    private func app(_ request: Request) throws -> AppID {
        let app = try KeyAccess.grant(.admin, .init(request.head), self.services).app
        try QueryString(Substring(request.uri.query ?? "")).allow([])
        return app
    }

    private func name(_ context: BasicRequestContext) throws -> String {
        let name = try TopicAPI.name(Substring(context.parameters.get("name") ?? ""))
        if let problem = topicProblem(name, self.services.limits, wildcards: false) {
            throw WireError(.badRequest, "The namespace \(problem).", limit: problem.limit)
        }
        guard !name.utf8.contains(UInt8(ascii: "/")) else {
            throw WireError(.badRequest, "A namespace is the first level of a topic's name: it holds no /.")
        }
        return name
    }

    private func checkCount(_ name: String, _ app: AppID) throws(WireError) {
        let limit = self.services.limits.namespaces
        let others = self.services.namespaces.namespaces(in: app).count { $0.change != nil && !isSameName($0.name, name) }
        guard others < limit else {
            throw WireError(.forbidden, "An app may set \(limit) namespaces: delete one that is not used.", limit: limit)
        }
    }

    private func set(_ name: String, _ app: AppID, _ change: TopicOptionsChange?) async throws {
        let error = await withCheckedContinuation { continuation in
            self.services.namespaces.setNamespace(name, in: app, to: change) { continuation.resume(returning: $0) }
        }
        guard error == nil else {
            throw WireError(.storeUnavailable, "Nothing was changed, because the store cannot be written now: try again in a moment.")
        }
    }

    // MARK: JSON

    private func list(_ app: AppID) -> [UInt8] {
        var output = Array(#"{"defaults":"#.utf8)
        TopicOptionsJSON.append(self.services.namespaces.defaults, to: &output)
        output += Array(#","namespaces":["#.utf8)
        for (index, info) in self.services.namespaces.namespaces(in: app).enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            output += Self.json(info)
        }
        return output + Array("]}".utf8)
    }

    private static func json(_ info: NamespaceInfo) -> [UInt8] {
        var output = Array(#"{"name":"#.utf8)
        JSON.append(info.name, to: &output)
        output += Array(#","options":"#.utf8)
        TopicOptionsJSON.append(info.options, to: &output)
        if let change = info.change {
            output += Array(#","set":"#.utf8)
            TopicOptionsJSON.append(change, to: &output)
        }
        return output + Array(#","configured":\#(info.isConfigured)}"#.utf8)
    }

    private static func answer(_ body: [UInt8]) -> Response {
        Response(
            status: .ok, headers: [.contentType: "application/json", .cacheControl: "no-cache"],
            body: .init(byteBuffer: ByteBuffer(bytes: body + [UInt8(ascii: "\n")])))
    }
}

import MartletCore
import MartletNet
import MartletProto
import MartletWire
import NIOCore
import SwiftProtobuf

/// `Push.GetMessage`: answered at once, or when something changes.
final class StatusCall: UnaryCall, @unchecked Sendable {
    private let grant: KeyGrant
    private var request = ProtoGetMessageRequest()
    private var id = MessageID(high: 0, low: 0)
    private var waitsUntil: NIODeadline?
    private var timer: Scheduled<Void>?
    private var watch: UInt64?
    /// Without a known tag, a change from now on is waited for.
    private var baseline: String?
    private var isWoken = false
    /// What it answers when the time is over.
    private var latest: ProtoGetMessageResponse?

    /// Devices in one answer, unless it asks for fewer or more, and at most.
    private static let pageSize = 100
    private static let pageMost = 1_000
    /// An answer comes this long before the call's time is over.
    private static let margin = TimeAmount.milliseconds(100)

    /// - Throws: for who may not ask, before anything is read.
    init(signed stream: GRPCStream) throws(WireError) {
        self.grant = try GRPCAccess(services: stream.services).grant(.read, stream.head)
        super.init(stream)
    }

    private static let unknown = WireError(.notFound, "There is no such message, or its record is older than a day past its expiry.")

    override func call(_ message: [UInt8]) throws(WireError) {
        guard let request = try? ProtoGetMessageRequest(serializedBytes: message) else { throw Self.malformed("GetMessageRequest") }
        guard let id = MessageID(request.id) else { throw Self.unknown }
        let waitMost = self.services.limits.waitMaxSeconds * 1_000
        guard Int(request.waitMs) <= waitMost else { throw WireError(.badRequest, "'wait_ms' may be \(waitMost) at most.", limit: waitMost) }
        guard Int(request.pageSize) <= Self.pageMost else {
            throw WireError(.badRequest, "'page_size' may be \(Self.pageMost) at most.", limit: Self.pageMost)
        }
        if !request.pageToken.isEmpty, nameProblem(request.pageToken, limit: self.services.limits.nameBytes) != nil {
            throw WireError(.badRequest, "'page_token' is none that was given out.")
        }
        self.request = request
        self.id = id
        if request.waitMs > 0 {
            var until = NIODeadline.now() + .milliseconds(Int64(request.waitMs))
            if let deadline = self.stream.deadline { until = min(until, deadline - Self.margin) }
            self.waitsUntil = until
            self.stream.list()
        }
        self.read(thenWatch: request.waitMs > 0)
    }

    /// - Parameter thenWatch: whether to watch for changes, then read again, so that none falls in between.
    private func read(thenWatch: Bool) {
        let limit = self.request.pageSize > 0 ? Int(self.request.pageSize) : Self.pageSize
        let after = self.request.pageToken.isEmpty ? nil : self.request.pageToken
        self.services.desk.status(self.id, app: self.grant.app, limit: limit, after: after) { [self] result in
            self.onLoop { self.found(result, thenWatch: thenWatch) }
        }
    }

    private func found(_ result: Result<MessageStatus?, StoreError>, thenWatch: Bool) {
        guard !self.isOver else { return }
        switch result {
        // Of a topic's message nobody is known to be addressed by it.
        case .success(let status?) where !status.targets.isEmpty:
            guard thenWatch else { return self.consider(StatusMapping.response(status)) }
            self.isWoken = false
            self.watch = self.services.desk.watch(status.targets) { [self] in self.onLoop { self.woken() } }
            self.read(thenWatch: false)
        case .success: self.fail(Self.unknown)
        case .failure: self.fail(WireError(.storeUnavailable, "The store cannot be read now: try again in a moment."))
        }
    }

    /// Answers, or waits for a change of what the client knows.
    private func consider(_ response: ProtoGetMessageResponse) {
        let known = self.request.etag.isEmpty ? self.baseline : self.request.etag
        self.baseline = self.baseline ?? response.etag
        guard let until = self.waitsUntil, known == nil || known == response.etag, NIODeadline.now() < until, !self.services.desk.isDraining else {
            return self.answer(response)
        }
        self.latest = response
        if self.isWoken { return self.again() }
        guard self.timer == nil else { return }
        self.timer = self.stream.state.loop.assumeIsolated().scheduleTask(deadline: until) {
            if let latest = self.latest { self.answer(latest) }
        }
    }

    private func woken() {
        guard !self.isOver else { return }
        self.isWoken = true
        // Otherwise the reading that is under way finds it.
        if self.latest != nil { self.again() }
    }

    private func again() {
        self.latest = nil
        self.unwatch()
        self.read(thenWatch: true)
    }

    private func answer(_ response: ProtoGetMessageResponse) {
        guard !self.isOver else { return }
        self.stream.send((try? response.serializedBytes()) ?? [])
        self.stream.finish(.ok)
    }

    private func unwatch() {
        if let watch = self.watch { self.services.desk.unwatch(watch) }
        self.watch = nil
    }

    override func over() {
        super.over()
        self.timer?.cancel()
        self.timer = nil
        self.latest = nil
        self.unwatch()
    }

    override func quiesce() { if let latest = self.latest { self.answer(latest) } else { self.fail(GRPCServices.draining) } }
}

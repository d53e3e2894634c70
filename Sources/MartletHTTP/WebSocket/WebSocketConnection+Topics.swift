import Crypto
import MartletCore
import MartletWire
import NIOCore

/// What a client asks of topics on a live connection. A refusal is an answer: the connection goes on.
extension WebSocketConnection {
    /// Publishes of one connection that wait for their answer: with more, nothing is read from it.
    static let publishesMost = 64

    func subscribe(_ wishes: [SubscribeWish]) {
        do throws(WireError) {
            try self.handle?.subscribe(wishes)
        } catch {
            self.writeError(error, FrameLabel(frame: "subscribe", topic: wishes.count == 1 ? wishes.first?.filter.text : nil))
        }
    }

    /// - Parameter json: the value of the frame's `publish`.
    func publish(_ json: [UInt8]) {
        guard let handle = self.handle, let context = self.context else { return }
        let parser = PublishParser(app: self.app, limits: self.services.limits) { Array(SHA256.hash(data: $0)) }
        do throws(WireError) {
            guard !self.services.desk.isDraining else { throw WireError(.draining, "The server is shutting down: publish again in a moment.") }
            let parsed = try json.withUnsafeBufferPointer { (bytes) throws(WireError) in
                try parser.parse(frame: UnsafeRawBufferPointer(bytes))
            }
            let limiter = self.services.edge.publishes
            if limiter.isBounded(app: self.app), let refusal = limiter.refusal(user: self.user, app: self.app, count: 1) { throw refusal }
            let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
            var label = FrameLabel(frame: "publish", topic: parsed.request.topic?.name)
            label.ref = parsed.ref
            let answer = label
            try handle.publish(parsed.request) { outcome in
                bound.eventLoop.execute { bound.value.published(outcome, answer) }
            }
            self.publishes += 1
            self.pauseReading()
        } catch {
            self.services.metrics.refusedPublishes()
            self.writeError(error, FrameLabel(publish: json, limits: self.services.limits))
        }
    }

    private func published(_ outcome: AppendOutcome, _ label: FrameLabel) {
        self.publishes -= 1
        guard self.context != nil else { return }
        switch PublishAPI.answer(outcome) {
        case .success(let id):
            var json = Array(#"{"id":""#.utf8)
            id.append(to: &json)
            json.append(UInt8(ascii: "\""))
            Self.append(label.ref, to: &json)
            json.append(UInt8(ascii: "}"))
            self.writeText("published", json)
        case .failure(let error): self.writeError(error, label)
        }
        if self.flushOutput() { self.resumeReading() }
    }

    /// `{"error":{"code":"forbidden","message":"…","frame":"publish","topic":"a","ref":7}}`; the connection goes on.
    func writeError(_ error: WireError, _ label: FrameLabel) {
        self.services.metrics.refused(error.code)
        var json = error.json
        json.removeLast(2)
        json.append(contentsOf: #","frame":"\#(label.frame)""#.utf8)
        if let topic = label.topic {
            json.append(contentsOf: #","topic":"#.utf8)
            JSON.append(topic, to: &json)
        }
        Self.append(label.ref, to: &json)
        json.append(contentsOf: "}}".utf8)
        self.writeText(json.count) { $0.writeBytes(json) }
    }

    private static func append(_ ref: [UInt8]?, to json: inout [UInt8]) {
        guard let ref else { return }
        json.append(contentsOf: #","ref":"#.utf8)
        json.append(contentsOf: ref)
    }
}

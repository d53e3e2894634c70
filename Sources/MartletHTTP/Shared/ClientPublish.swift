import Crypto
import MartletCore
import MartletWire
import NIOCore

/// What a client publishes to topics by its session: in a frame, or in an exchange.
struct ClientPublish {
    let app: AppID
    let user: String?
    let services: HTTPServices

    /// What the client is told of one publish.
    struct Answer: Sendable {
        var result: Result<MessageID, WireError>
        var label: FrameLabel

        /// `{"id":"…","ref":7}`, or `{"error":{"code":"forbidden","message":"…","topic":"a","ref":7}}`.
        var json: [UInt8] {
            switch self.result {
            case .success(let id):
                var json = Array(#"{"id":""#.utf8)
                id.append(to: &json)
                json.append(UInt8(ascii: "\""))
                self.label.appendRef(to: &json)
                json.append(UInt8(ascii: "}"))
                return json
            case .failure(let error): return self.label.json(of: error, saysFrame: false)
            }
        }
    }

    /// Publishes one message.
    ///
    /// - Parameters:
    ///   - json: an object, for ``PublishParser/parse(frame:)``; untrusted.
    ///   - done: called later, on the loop.
    /// - Returns: the refusal of what did not come to be published; `done` is not called then.
    func publish(
        _ json: [UInt8], by handle: any SessionHandle, loop: any EventLoop, done: @escaping (Answer) -> Void
    ) -> Answer? {
        let parser = PublishParser(app: self.app, limits: self.services.limits) { Array(SHA256.hash(data: $0)) }
        do throws(WireError) {
            guard !self.services.desk.isDraining else { throw WireError(.draining, "The server is shutting down: publish again in a moment.") }
            let parsed = try json.withUnsafeBufferPointer { (bytes) throws(WireError) in
                try parser.parse(frame: UnsafeRawBufferPointer(bytes))
            }
            var label = FrameLabel(frame: "publish", topic: parsed.request.topic?.name)
            label.ref = parsed.ref
            let limiter = self.services.publishes
            if limiter.isBounded(app: self.app), let refusal = limiter.refusal(user: self.user, app: self.app, count: 1) { throw refusal }
            let bound = NIOLoopBound(done, eventLoop: loop)
            let asked = label
            try handle.publish(parsed.request) { outcome in
                let answer = Answer(result: PublishAPI.answer(outcome), label: asked)
                loop.execute { bound.value(answer) }
            }
            return nil
        } catch {
            self.services.metrics.refusedPublishes()
            return Answer(result: .failure(error), label: FrameLabel(publish: json, limits: self.services.limits))
        }
    }
}

extension FrameLabel {
    /// `{"error":{"code":"forbidden","message":"…","frame":"publish","topic":"a","ref":7}}`.
    ///
    /// - Parameter saysFrame: whether `frame` is among it.
    func json(of error: WireError, saysFrame: Bool) -> [UInt8] {
        var json = error.json
        json.removeLast(2)
        if saysFrame { json.append(contentsOf: #","frame":"\#(self.frame)""#.utf8) }
        if let topic = self.topic {
            json.append(contentsOf: #","topic":"#.utf8)
            JSON.append(topic, to: &json)
        }
        self.appendRef(to: &json)
        json.append(contentsOf: "}}".utf8)
        return json
    }

    fileprivate func appendRef(to json: inout [UInt8]) {
        guard let ref = self.ref else { return }
        json.append(contentsOf: #","ref":"#.utf8)
        json.append(contentsOf: ref)
    }
}

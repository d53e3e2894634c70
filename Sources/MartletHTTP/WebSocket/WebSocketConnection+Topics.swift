import MartletCore
import MartletNet
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
        let refusal = ClientPublish(app: self.app, user: self.user, services: self.services).publish(
            json, by: handle, loop: context.eventLoop
        ) { [self] in self.published($0) }
        if let refusal {
            self.write(refusal)
        } else {
            self.publishes += 1
            self.pauseReading()
        }
    }

    private func published(_ answer: ClientPublish.Answer) {
        self.publishes -= 1
        guard self.context != nil else { return }
        self.write(answer)
        if self.flushOutput() { self.resumeReading() }
    }

    private func write(_ answer: ClientPublish.Answer) {
        switch answer.result {
        case .success: self.writeText("published", answer.json)
        case .failure(let error): self.writeError(error, answer.label)
        }
    }

    /// `{"error":{"code":"forbidden","message":"…","frame":"publish","topic":"a","ref":7}}`; the connection goes on.
    func writeError(_ error: WireError, _ label: FrameLabel) {
        self.services.metrics.refused(error.code)
        let json = label.json(of: error, saysFrame: true)
        self.writeText(json.count) { $0.writeBytes(json) }
    }
}

import MartletCore
import MartletNet
import MartletWire
import NIOCore

/// PUBLISH and the acks of both sides (MQTT 5.0 §3.3 to §3.7, §4.3).
extension MQTTConnection {
    func publish(_ publish: MQTTPacket.Publish) throws(MQTTError) {
        guard let handle = self.handle else { return }
        let topic = try self.topic(of: publish)
        guard !self.services.desk.isDraining else { throw MQTTError(.serverShuttingDown, "the server is shutting down") }
        do throws(MQTTError) {
            let request = try PublishMapping(app: self.app, limits: self.services.limits).request(
                topic: topic, payload: publish.payload, qos: publish.qos, retain: publish.retain, properties: publish.properties)
            if let refusal = self.services.countPublish(self.app, self.user) { throw MQTTError(.quotaExceeded, refusal.message) }
            try self.ready(request, publish, handle)
        } catch {
            try self.refuse(publish, error)
        }
    }

    private func ready(_ request: AppendRequest, _ publish: MQTTPacket.Publish, _ handle: any SessionHandle) throws(MQTTError) {
        let ready: AppendRequest?
        do throws(WireError) {
            ready = try handle.ready(request, number: publish.qos == .exactlyOnce ? publish.packetID : nil)
        } catch {
            throw MQTTError(.notAuthorized, error.message)
        }
        guard let ready else {
            // It was published before.
            self.answer(publish, .success)
            return
        }
        if publish.qos > .atMostOnce, self.openNumbers >= Int(MQTTServices.receiveMaximum), self.encoder.version == .v5 {
            if let number = publish.packetID { handle.forget(number: number) }
            throw MQTTError(.receiveMaximumExceeded, "more publishes are open than the receive maximum allows")
        }
        var place: Int?
        if let number = publish.packetID, publish.qos > .atMostOnce {
            place = self.answers.add(number, publish.qos)
            self.openNumbers += 1
        }
        self.unanswered += 1
        self.batch.add(ready, place)
    }

    /// The topic that it names, or that its alias stands for (§3.3.2.3.4).
    private func topic(of publish: MQTTPacket.Publish) throws(MQTTError) -> String {
        guard !publish.properties.isEmpty, let alias = publish.properties.topicAlias else { return publish.topic }
        if !publish.topic.isEmpty {
            self.aliases[alias] = publish.topic
            return publish.topic
        }
        guard let topic = self.aliases[alias] else { throw MQTTError(.protocolError, "this topic alias stands for nothing") }
        return topic
    }

    /// Answers what is not published; a client that could not be told is disconnected, unless it only lacks the right.
    private func refuse(_ publish: MQTTPacket.Publish, _ error: MQTTError) throws(MQTTError) {
        switch error.code {
        case .notAuthorized:
            // 3.1.1 has no word for it (§3.3.5 there): it counts as done.
            self.answer(publish, self.encoder.version == .v5 ? .notAuthorized : .success, error.reason)
        case .quotaExceeded where publish.qos == .atMostOnce: break
        case .topicNameInvalid, .quotaExceeded, .payloadFormatInvalid:
            guard publish.qos > .atMostOnce else { throw error }
            self.answer(publish, self.encoder.version == .v5 ? error.code : .success, error.reason)
        default: throw error
        }
    }

    /// Answers a publish in its turn.
    private func answer(_ publish: MQTTPacket.Publish, _ code: MQTTReasonCode, _ reason: String? = nil) {
        guard publish.qos > .atMostOnce, let number = publish.packetID else { return }
        let place = self.answers.add(number, publish.qos)
        if code.isFailure { self.openNumbers += 1 }
        self.answers.settle(place, code, reason)
        self.sendAnswers()
    }

    // MARK: Outcomes

    /// Publishes what was read in this turn.
    func publishBatch() {
        guard !self.batch.isEmpty, let handle = self.handle, let loop = self.context?.eventLoop else { return }
        let batch = self.batch
        self.batch = PublishBatch()
        let mail = self.mail
        handle.publishReady(batch.requests) { [self] outcomes in
            if loop.inEventLoop { self.published(batch.places, outcomes) } else { mail.add(self, batch.places, outcomes) }
        }
    }

    /// What was published has its outcome. On the connection's loop.
    func published(_ places: [Int?], _ outcomes: [AppendOutcome]) {
        self.unanswered -= places.count
        var isFailed = false
        for (place, outcome) in zip(places, outcomes) {
            if case .failed = outcome {
                isFailed = true
                if let place, let number = self.answers.number(place, .exactlyOnce) { self.handle?.forget(number: number) }
            } else if let place {
                self.answers.settle(place, .success, nil)
            }
        }
        guard self.context != nil, self.phase == .open else { return }
        self.sendAnswers()
        guard !isFailed else {
            // Not acked, so it comes again when the client does.
            return self.disconnect(.serverBusy, "what was published could not be stored: publish it again")
        }
        if self.flushOutput() { self.resumeReading() }
    }

    private func sendAnswers() {
        while let answer = self.answers.next() {
            var ack = MQTTPacket.Ack(answer.qos == .exactlyOnce ? .pubrec : .puback, packetID: answer.number, answer.code)
            if answer.code.isFailure { ack.properties.reasonString = answer.reason }
            // A number that was acked, or refused, is free again.
            if answer.qos == .atLeastOnce || answer.code.isFailure { self.openNumbers -= 1 }
            self.send(.ack(ack), capacity: 4)
        }
    }

    // MARK: Acks

    func acked(_ ack: MQTTPacket.Ack) {
        guard let handle = self.handle else { return }
        switch ack.kind {
        case .puback where ack.packetID > Flights.lastOfAll:
            // What is refused is not delivered: it comes again with the next connection.
            if !ack.reason.isFailure { try? handle.ack(.each([self.seq(of: ack.packetID)])) }
        case .puback: _ = handle.acked(number: ack.packetID)
        case .pubcomp: _ = handle.completed(number: ack.packetID)
        case .pubrec:
            if !handle.received(number: ack.packetID, isRefused: ack.reason.isFailure), !ack.reason.isFailure {
                self.send(.ack(.init(.pubrel, packetID: ack.packetID, .packetIdentifierNotFound)))
            }
        case .pubrel: self.release(ack.packetID, handle)
        }
    }

    private func release(_ number: UInt16, _ handle: any SessionHandle) {
        // What it releases may be in this turn's messages.
        self.publishBatch()
        guard let loop = self.context?.eventLoop else { return }
        handle.release(number: number) { [self] known in
            let answer: @Sendable () -> Void = { self.released(number, known) }
            if loop.inEventLoop { answer() } else { loop.execute(answer) }
        }
    }

    private func released(_ number: UInt16, _ known: Bool?) {
        guard self.context != nil, self.phase == .open else { return }
        guard let known else { return self.disconnect(.serverBusy) }
        if known { self.openNumbers = max(0, self.openNumbers - 1) }
        self.send(.ack(.init(.pubcomp, packetID: number, known ? .success : .packetIdentifierNotFound)))
        self.flushOutput()
    }

    /// The inbox message that went under a packet identifier.
    private func seq(of number: UInt16) -> UInt64 {
        let back = (self.lastSeq &- UInt64(number & Flights.lastOfAll)) & UInt64(Flights.lastOfAll)
        return self.lastSeq &- back
    }

    /// The packet identifier of an inbox message: those of topics are lower.
    func number(of seq: UInt64) -> UInt16 {
        self.lastSeq = max(self.lastSeq, seq)
        return Flights.lastOfAll + 1 + UInt16(truncatingIfNeeded: seq) & Flights.lastOfAll
    }
}

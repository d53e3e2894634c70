import MartletCore
import MartletWire

extension TopicWorld {
    /// One thing happens, by chance.
    func step() {
        switch self.random.below(100) {
        case 0..<26: self.publish()
        case 26..<28: self.publishAgain()
        case 28..<30: self.recall()
        case 30..<38: self.commit(1 + self.random.below(4))
        case 38..<46: for _ in 0...self.random.below(4) { self.store.deliver() }
        case 46..<50: self.store.takeSnapshot(self.random.below(self.store.waitingSnapshots))
        case 50..<54: self.store.deliverRead(self.random.below(self.store.waitingResults))
        case 54..<62: if let server = self.server { server.takeMail(self.random.below(server.mail.count), 1 + self.random.below(6)) }
        case 62..<70: if let connection = self.connection() { self.receiveSome(connection) }
        case 70..<75: if let connection = self.connection(), connection.isSocketFull, !connection.client.isPoll { self.took(connection) }
        case 75..<81: if let client = self.random.pick(self.clients) { self.connect(client) }
        case 81..<83: if let client = self.random.pick(self.clients) { self.leave(client) }
        case 83: if let connection = self.random.pick(self.left) { self.notice(connection) }
        case 84..<86: if let connection = self.connection() { self.subscribe(connection) }
        case 86: if let connection = self.connection() { self.unsubscribe(connection) }
        case 87..<89: if let connection = self.connection() { self.renew(connection) }
        case 89..<93: self.pass()
        case 93..<98: self.settleAndCheck()
        case 98: self.trouble()
        default: self.advance(1)
        }
    }

    private func connection() -> TopicConnection? { self.random.pick(self.clients)?.connection }

    private func pass() {
        if self.random.chance(15) {
            let step = Int64(self.random.below(7_200_000)) - 3_600_000
            self.note("somebody sets the wall clock by \(step) ms")
            self.clock.stepWall(step)
        }
        self.advance([1, 20, 200, 1_000, 4_000][self.random.below(5)])
    }

    private func trouble() {
        switch self.random.below(10) {
        case 0..<4: self.crash()
        case 4..<6: self.stopAndStart()
        case 6..<8:
            self.store.cannotWrite.toggle()
            self.note("the store can\(self.store.cannotWrite ? "not" : "") write")
        default:
            self.store.cannotRead.toggle()
            self.note("the store can\(self.store.cannotRead ? "not" : "") read")
        }
    }

    func settleAndCheck() {
        self.settle()
        guard let server = self.server, !self.store.cannotRead else { return }
        for session in server.sessions { self.oracle.checkStuck(session) }
    }

    /// Trouble is over: everybody comes back and goes on until nothing more comes.
    func quiet() {
        self.isQuiet = true
        self.note("quiet")
        self.store.cannotWrite = false
        self.store.cannotRead = false
        self.settle()
        for client in self.clients { self.leave(client) }
        for connection in self.left { self.notice(connection) }
        self.settle()
        var quietRounds = 0
        for _ in 0..<200 where quietRounds < 2 {
            var didReceive = false
            for client in self.clients {
                if client.connection == nil { self.connect(client) }
                if client.isPoll { self.settle() }
                guard let connection = client.connection else { continue }
                didReceive = didReceive || connection.pipe.contains { if case .message = $0 { true } else { false } }
                if client.isPoll { self.answerPoll(connection) } else { self.receive(connection, .max) }
            }
            self.settleAndCheck()
            quietRounds = didReceive ? 0 : quietRounds + 1
        }
        if quietRounds < 2 { self.oracle.broken(.bounded, "the server sends for ever") }
    }

    // MARK: Publishers

    private func publish() {
        let count = self.random.chance(20) ? 1 + self.random.below(6) : 1
        self.publish((0..<count).map { self.newPublication($0) })
    }

    private func newPublication(_ place: Int) -> TopicPublication {
        let number = self.oracle.publications.count + place
        let topic = self.random.pick(Self.topics) ?? "m"
        let retain: TopicAppend.Retain = self.random.chance(12) ? (self.random.chance(75) ? .set : .clear) : .leave
        let ttl = [retain == .leave ? 0 : 1_800, 1, 3, 60, 1_800, 1_800, 1_800, 1_800, 1_800, 1_800][self.random.below(10)]
        return TopicPublication(
            number: number, topic: topic, ttl: ttl, retain: retain, idempotencyKey: self.random.chance(20) ? "i\(number)" : nil,
            padding: self.random.chance(6) ? 200 + self.random.below(400) : self.random.below(60), options: self.options(of: topic),
            tick: self.oracle.nextTick(), now: self.clock.now, histories: self.oracle.histories)
    }

    private func publish(_ batch: [TopicPublication]) {
        for publication in batch {
            self.note(
                "publish \(publication.number) to \(publication.topic), ttl \(publication.ttl), \(publication.retain), "
                    + "idempotency \(publication.idempotencyKey ?? "-"), \(publication.padding) bytes")
            self.oracle.submitted(publication)
        }
        self.server?.publish(batch)
    }

    /// A publisher that got no answer, or is careless, sends the same again. Keys of the memory log go with it.
    private func publishAgain() {
        let known = self.oracle.publications.filter {
            $0.idempotencyKey != nil && $0.history == self.oracle.histories[$0.isStored ? .durable : .memory]
        }
        guard let publication = self.random.pick(known) else { return }
        self.note("publish \(publication.number) again")
        self.server?.publish([publication])
    }

    func answered(_ publication: TopicPublication, _ outcome: AppendOutcome) {
        self.note("answer to \(publication.number): \(outcome)")
        self.oracle.answered(publication, outcome)
    }

    private func recall() {
        guard let publication = self.random.pick(self.oracle.publications), let id = publication.id, publication.log != nil else { return }
        self.note("recall \(publication.number)")
        publication.wasRecallAsked = true
        self.server?.recall(publication, id)
    }

    func recalled(_ publication: TopicPublication) {
        self.note("recalled \(publication.number)")
        publication.isRecalled = true
    }
}

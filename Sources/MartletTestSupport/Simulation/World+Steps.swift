import MartletCore

extension World {
    /// One thing happens, by chance.
    func step() {
        switch self.random.below(100) {
        case 0..<18: self.publish()
        case 18..<20: self.publishAgain()
        case 20..<22: self.recall()
        case 22..<34: self.commit(1 + self.random.below(4))
        case 34..<46: for _ in 0...self.random.below(4) { self.store.deliver() }
        case 46..<52: self.store.takeSnapshot(self.random.below(self.store.waitingSnapshots))
        case 52..<58: self.store.deliverRead(self.random.below(self.store.waitingResults))
        case 58..<68: self.someConnection { world, connection in world.receiveSome(connection) }
        case 68..<74: self.someConnection { world, connection in world.say(connection) }
        case 74..<80: self.someConnection { world, connection in world.processUpward(connection, 1) }
        case 80..<84: self.someConnection { world, connection in world.takeSome(connection) }
        case 84..<89: if let client = self.random.pick(self.clients) { self.connect(client) }
        case 89..<91: if let client = self.random.pick(self.clients) { self.leave(client) }
        case 91: if let connection = self.random.pick(self.left) { self.notice(connection) }
        case 92: if let client = self.random.pick(self.clients) { self.ackAway(client) }
        case 93..<96: self.pass()
        case 96: self.settleAndCheck()
        case 97: self.hub?.takeUpdates()
        case 98: self.trouble()
        default: self.settleAndCheck()
        }
    }

    private func someConnection(_ body: (World, Connection) -> Void) {
        guard let connection = self.random.pick(self.clients)?.connection else { return }
        body(self, connection)
    }

    private func receiveSome(_ connection: Connection) {
        if connection.client.kind == .poll {
            self.answerPoll(connection)
        } else {
            self.receive(connection, 1 + self.random.below(4))
        }
    }

    private func takeSome(_ connection: Connection) {
        guard connection.isSocketFull, connection.client.kind != .poll else { return }
        self.hub?.socketTook(connection)
    }

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
        case 0..<5: self.crash()
        case 5..<7: self.stopAndStart()
        case 7..<9:
            self.store.cannotWrite.toggle()
            self.note("the store can\(self.store.cannotWrite ? "not" : "") write")
        default:
            self.store.cannotRead.toggle()
            self.note("the store can\(self.store.cannotRead ? "not" : "") read")
        }
    }

    func settleAndCheck() {
        self.settle()
        // Numbers that could not be reserved are asked for again by the next heartbeat.
        guard let hub = self.hub else { return }
        for session in hub.sessions where session.session.isRamen && session.session.seqLeft == 0 { hub.pump(session) }
        self.settle()
        guard !self.store.cannotRead else { return }
        for session in hub.sessions where session.session.isLive {
            if self.store.cannotWrite, session.session.isRamen { continue }
            let others = hub.sessions.contains { $0 !== session && $0.connection?.isSocketFull == true }
            self.oracle.checkStuck(session, othersAreSlow: others)
        }
    }

    /// Trouble is over: everybody comes back, acks, and goes on until nothing more comes.
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
                if client.kind == .poll { self.settle() }
                guard let connection = client.connection else { continue }
                if client.kind == .poll {
                    didReceive = didReceive || connection.pipe.contains { if case .message = $0 { true } else { false } }
                    self.answerPoll(connection)
                } else {
                    didReceive = didReceive || !connection.pipe.isEmpty
                    self.receive(connection, .max)
                    client.style = .cumulative
                    self.say(connection)
                    self.processUpward(connection, .max)
                }
            }
            self.settleAndCheck()
            quietRounds = didReceive ? 0 : quietRounds + 1
        }
        if quietRounds < 2 { self.oracle.broken(.bounded, "the server sends for ever") }
        self.oracle.checkEnd(self.clients)
    }
}

import MartletCore
import MartletWire

/// What goes to sessions: live, and read from the logs.
extension TopicServer {
    /// A loop takes its mail.
    func takeMail(_ loop: Int, _ count: Int) {
        let mail = self.mail[loop].prefix(count)
        self.mail[loop].removeFirst(mail.count)
        for one in mail {
            // One that waited too long is not sent; who is there gets what is for nobody else, however late.
            guard one.message.liveOnly || !one.message.isExpired(at: self.now) else { continue }
            let weight = one.message.weight + 64
            var readers: [Reader] = []
            self.readers[loop].visit(one.topic.name) { readers += $0 }
            for reader in readers {
                let session = reader.session
                guard
                    session.subscriptions.announced(
                        reader.slot, offset: one.message.offset, topic: one.topic.name, log: one.log, bytes: weight)
                else {
                    self.world.note("  session \(session.serial) does not take \(one.message.offset) of \(one.topic.name)")
                    if !session.subscriptions.isCaughtUp, !session.subscriptions.isWaitingForSocket { self.pump(session) }
                    continue
                }
                self.send(one.message, one.topic.name, one.log == nil ? nil : self.cursor(of: session), on: session)
            }
        }
        self.endTurn()
    }

    func cursor(of session: TopicSession, sending: (read: TopicSubscriptions.TopicRead, offset: UInt64)? = nil) -> Cursor {
        var place = session.subscriptions.place(
            memoryEpoch: self.memoryEpoch, sending: self.canary == .cursorRunsAhead ? nil : sending)
        if self.canary == .forgetsWhoIsBehind { place.behind = [] }
        if self.canary == .forgetsWhatOthersKnow { for index in place.behind.indices { place.behind[index].isKnown = false } }
        if self.canary == .rewindsCursors { for log in TopicLogKind.allCases where place[log] != TopicPlace.unread { place[log] /= 2 } }
        return Cursor(
            tag: UInt32(session.serial), epoch: self.store.epoch, appHash: 1, userHash: 0, deviceHash: 0, positions: Positions(), topics: place)
    }

    func pump(_ session: TopicSession) {
        while session.connection != nil, let next = session.subscriptions.next(app: .dev, now: self.now) {
            switch next {
            case .gap(let gap):
                let cursor = self.cursor(of: session)
                self.tell([gap], on: session, before: self.mark(cursor, session), after: cursor)
            case .read(let read):
                switch read.log {
                case .memory:
                    var slice = self.table.read(read.request)
                    if self.canary == .trimsSilently { slice.gaps = [] }
                    self.readDone(read, slice, session)
                case .durable:
                    let box = Unshared((self, session))
                    self.reads += 1
                    self.store.readTopic(read.request) { result in
                        let (server, session) = box.value
                        let recalled = server.endRead()
                        guard session.connection != nil else { return }
                        guard case .success(var slice) = result else {
                            session.subscriptions.readFailed()
                            return server.end(session, tell: true)
                        }
                        slice.entries.removeAll { recalled.contains($0.message.offset) }
                        if server.canary == .storeTrimsSilently { slice.gaps = [] }
                        server.readDone(read, slice, session)
                        server.pump(session)
                        server.endTurn()
                    }
                }
            }
        }
    }

    private func readDone(_ read: TopicSubscriptions.TopicRead, _ slice: TopicSlice, _ session: TopicSession) {
        var slice = slice
        // The read may have taken its time.
        slice.entries.removeAll { $0.message.isExpired(at: self.now) }
        self.world.note(
            "  session \(session.serial) read \(read.request.filter.text) \(read.request.start) of \(read.log): "
                + "\(slice.entries.map(\.message.offset)), \(slice.gaps.count) gaps, up to \(slice.position)\(slice.more ? " and more" : "")")
        let whole = slice
        guard session.subscriptions.readDone(read, &slice, weight: { $0.weight + 64 }) else { return }
        if self.canary == .readsFiltersApart { slice = whole }
        let gaps = session.subscriptions.untold(slice.gaps, of: read)
        if !gaps.isEmpty, case .after(let start) = read.request.start {
            let after = slice.entries.first.map { self.cursor(of: session, sending: (read, $0.message.offset - 1)) }
            self.tell(
                gaps, on: session, before: self.mark(self.cursor(of: session, sending: (read, start)), session),
                after: after ?? self.cursor(of: session))
        }
        let entries = self.canary == .swapsOrder ? slice.entries.reversed() : slice.entries
        for entry in entries {
            self.send(entry.message, entry.topic, self.cursor(of: session, sending: (read, entry.message.offset)), on: session)
        }
    }

    private func send(_ message: StoredMessage, _ topic: String, _ cursor: Cursor?, on session: TopicSession) {
        let number = Publication.number(in: message.fragment)
        self.world.note("  session \(session.serial) is sent \(number) (\(message.offset))")
        session.events += 1
        self.world.oracle.sent(message, number: number, topic: topic, on: session)
        self.queue(.message(cursor.map { self.mark($0, session) }, number: number), on: session)
    }

    func mark(_ cursor: Cursor, _ session: TopicSession) -> TopicMark {
        TopicMark(
            session: session.serial, events: session.events, cursor: cursor, tick: self.world.oracle.nextTick(),
            histories: self.world.oracle.histories)
    }

    /// - Parameters:
    ///   - before: the place while some of them are still to be told.
    ///   - after: the place after all of them.
    func tell(_ gaps: [TopicGap], on session: TopicSession, before: TopicMark, after: Cursor) {
        for (index, gap) in gaps.enumerated() {
            var gap = gap
            if self.canary == .dropsGaps || self.canary == .losesWhatIsSlow && gap.reason == .slow { continue }
            if self.canary == .tellsHalfOfAGap, let from = gap.from, let to = gap.to { gap.from = from + (to - from + 1) / 2 }
            session.events += 1
            self.world.oracle.told(gap, on: session)
            var mark = before
            mark.events = session.events
            if index == gaps.count - 1 || self.canary == .passesGapsTooEarly { mark = self.mark(after, session) }
            self.queue(.gap(gap, mark), on: session)
        }
    }

    func queue(_ frame: TopicFrame, on session: TopicSession) {
        session.connection?.queued.append(frame)
        guard !session.isTouched else { return }
        session.isTouched = true
        self.touched.append(session)
    }

    /// Writes what was queued; a socket that takes all of it makes room for more.
    func endTurn() {
        while let session = self.touched.popLast() {
            session.isTouched = false
            guard let connection = session.connection, self.world.flush(connection) else { continue }
            self.socketTook(connection)
        }
    }

    func socketTook(_ connection: TopicConnection) {
        connection.isSocketFull = false
        guard let session = connection.session else { return }
        session.subscriptions.socketTook()
        self.world.oracle.socketTook(session)
        if self.canary != .forgetsToReadOn { self.pump(session) }
    }

    /// A read of the store has ended.
    ///
    /// - Returns: what it may have found although it has been recalled since.
    func endRead() -> Set<UInt64> {
        defer {
            self.reads -= 1
            if self.reads == 0 { self.recalledMeanwhile = [] }
        }
        return self.recalledMeanwhile
    }
}

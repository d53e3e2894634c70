import MartletCore
import MartletWire

/// A session as the server of the simulation holds it.
final class TopicSession {
    let serial: Int
    let loop: Int
    var subscriptions: TopicSubscriptions
    var rights: TopicRights
    var connection: TopicConnection?
    /// Messages and gaps that it was sent.
    var events = 0
    var isTouched = false

    init(serial: Int, loop: Int, windowBytes: Int, rights: TopicRights, connection: TopicConnection) {
        self.serial = serial
        self.loop = loop
        self.subscriptions = TopicSubscriptions(windowBytes: windowBytes)
        self.rights = rights
        self.connection = connection
    }
}

/// What carries out decisions about topics here, as small as it can be: one server process, from start to stop or crash.
final class TopicServer: @unchecked Sendable {
    struct Mail {
        var message: StoredMessage
        var topic: TopicKey
        var log: TopicLogKind?
    }

    struct Reader {
        var session: TopicSession
        var slot: Int
    }

    unowned let world: TopicWorld
    let store: MemoryLogStore
    let canary: TopicCanary?
    let memoryEpoch: UInt32
    var table: TopicTable
    private var ids = IDGenerator(after: nil)
    var readers: [FilterTrie<[Reader]>]
    var mail: [[Mail]]
    var sessions: [TopicSession] = []
    var touched: [TopicSession] = []
    /// Reads of the store under way, and what was recalled meanwhile: they may have found it before.
    var reads = 0
    var recalledMeanwhile: Set<UInt64> = []

    init(world: TopicWorld, store: MemoryLogStore, memoryEpoch: UInt32, canary: TopicCanary?) {
        self.world = world
        self.store = store
        self.canary = canary
        self.memoryEpoch = memoryEpoch
        self.table = TopicTable(limits: world.limits)
        self.readers = [FilterTrie(), FilterTrie()]
        self.mail = [[], []]
        store.observe { [unowned self] in self.committed($0) }
    }

    var now: Int64 { self.canary == .clockIsBehind ? self.world.clock.now - 60_000 : self.world.clock.now }

    // MARK: Publishing

    func publish(_ publications: [TopicPublication]) {
        for publication in publications {
            let options = self.kept(self.world.options(of: publication.topic))
            var request = publication.request(
                keep: .init(messages: options.historyMessages, seconds: options.historySeconds, bytes: options.historyBytes))
            if self.canary == .stripsIdempotencyKeys { request.idempotency = nil }
            if self.canary == .keepsTheFirstRetained, publication.number % 3 > 0, request.topic?.retain == .set { request.topic?.retain = .leave }
            let box = Unshared((self.world, publication))
            if publication.isStored {
                self.store.append([request]) { outcomes in
                    if let outcome = outcomes.first { box.value.0.answered(box.value.1, outcome) }
                }
                continue
            }
            let key = TopicKey(app: .dev, name: publication.topic)
            let id = self.ids.next(wall: self.world.clock.wall, random: UInt64(publication.number))
            switch self.table.append(request, to: key, options: options, id: id, now: self.now, at: self.world.clock.wall) {
            case .conflict: self.world.answered(publication, .conflict)
            case .repeated(let id): self.world.answered(publication, .stored(id, repeated: true))
            case .stored(let message):
                self.world.oracle.stored(publication.number, message)
                self.send(Mail(message: message, topic: key, log: options.keepsHistory && !message.liveOnly ? .memory : nil))
                self.world.answered(publication, .stored(message.id, repeated: false))
            }
        }
    }

    private func kept(_ options: TopicOptions) -> TopicOptions {
        var options = options
        if self.canary == .keepsHalf, options.historyMessages > 1 { options.historyMessages /= 2 }
        return options
    }

    private func committed(_ commits: [Commit]) {
        for commit in commits {
            switch commit {
            case .published(let message, let topic): self.send(Mail(message: message, topic: topic, log: .durable))
            case .recalled(let offset, _): if self.reads > 0 { self.recalledMeanwhile.insert(offset) }
            case .stored: break
            }
        }
    }

    private func send(_ mail: Mail) {
        for loop in self.mail.indices {
            var isWanted = false
            self.readers[loop].visit(mail.topic.name) { _ in isWanted = true }
            if isWanted { self.mail[loop].append(mail) }
        }
    }

    func recall(_ publication: TopicPublication, _ id: MessageID) {
        guard self.canary != .ignoresRecall else { return self.world.recalled(publication) }
        // What is on its way to a loop is there before the answer is.
        for loop in self.mail.indices { self.takeMail(loop, .max) }
        if let removed = self.table.remove(id, app: .dev, now: self.now) {
            if removed.outcome == .recalled { self.world.recalled(publication) }
            return
        }
        let box = Unshared((self, publication))
        self.store.recall(id, app: .dev) { result in
            guard case .success(.recalled?) = result else { return }
            for loop in box.value.0.mail.indices { box.value.0.takeMail(loop, .max) }
            box.value.0.world.recalled(box.value.1)
        }
    }

    // MARK: Opening

    func open(_ wishes: [SubscribeWish], presented: TopicMark?, connection: TopicConnection) {
        let client = connection.client
        let serial = self.world.nextSerial()
        let window = self.canary == .widensTheWindow ? 4 * client.windowBytes : client.windowBytes
        let session = TopicSession(
            serial: serial, loop: serial % self.mail.count, windowBytes: window, rights: client.rights.rights(self.world.limits),
            connection: connection)
        guard wishes.allSatisfy({ self.allows($0.filter, session) }) else {
            self.world.oracle.refused(wishes, client)
            connection.pipe.append(.closed)
            return
        }
        connection.session = session
        self.sessions.append(session)
        self.world.oracle.opened(session, client)
        let cursor = presented.flatMap { try? Cursor(parsing: $0.cursor.description) }
        let gaps = self.start(wishes, cursor: cursor, presented: presented, on: session)
        // With what is to be told missing, the place is still the one that was presented: should the rest be lost, it is told again.
        var mark = self.mark(self.cursor(of: session), session)
        if !gaps.isEmpty, !client.isPoll, let cursor, let presented, self.canary != .welcomesPastTheGaps {
            let own = mark.cursor
            mark.cursor = own.keepingUntold(of: cursor)
            if mark.cursor.epoch != own.epoch { mark.histories.durable = presented.histories.durable }
            if mark.cursor.topics?.memoryEpoch != own.topics?.memoryEpoch { mark.histories.memory = presented.histories.memory }
        }
        self.queue(.welcome(mark), on: session)
        self.tell(gaps, on: session, before: mark, after: self.cursor(of: session))
        self.sendRetained(wishes, presented: presented, on: session)
        self.pump(session)
        self.endTurn()
    }

    private func allows(_ filter: TopicFilter, _ session: TopicSession) -> Bool {
        self.canary == .allowsEverything || session.rights.allows(.subscribe, filter, self.world.access(of: filter))
    }

    func subscribe(_ wishes: [SubscribeWish], on session: TopicSession) {
        guard wishes.allSatisfy({ self.allows($0.filter, session) }) else {
            if let client = session.connection?.client { self.world.oracle.refused(wishes, client) }
            return
        }
        _ = self.start(wishes, cursor: nil, presented: nil, on: session)
        self.queue(.subscribed(self.mark(self.cursor(of: session), session)), on: session)
        self.sendRetained(wishes, presented: nil, on: session)
        self.pump(session)
        self.endTurn()
    }

    private func start(_ wishes: [SubscribeWish], cursor: Cursor?, presented: TopicMark?, on session: TopicSession) -> [TopicGap] {
        let resume = cursor.flatMap { cursor in
            cursor.topics.map { TopicSubscriptions.Resume(place: $0, isDurableKnown: cursor.epoch == self.store.epoch) }
        }
        var gaps: [TopicGap] = []
        for wish in wishes where session.subscriptions.slot(of: wish.filter) == nil {
            self.world.oracle.subscribed(wish, presented: resume == nil ? nil : presented, on: session)
            var wish = wish
            if self.canary == .readsFromTheBeginning, case .last = wish.start { wish.start = .earliest }
            var ends = TopicSubscriptions.Ends(memoryEpoch: self.memoryEpoch, memory: self.table.end, durable: self.store.end)
            if self.canary == .entersLate {
                ends.memory += 2
                ends.durable += 2
            }
            let (slot, told) = session.subscriptions.subscribe(wish, logs: self.world.logs(of: wish.filter), ends: ends, resume: resume)
            self.enter(session, slot, wish.filter)
            gaps += told
        }
        return gaps
    }

    private func filter(_ filter: TopicFilter) -> TopicFilter {
        guard filter.isWildcard else { return filter }
        if self.canary == .matchesTooMuch, filter.text == "m/+" { return TopicFilter(topic: "m/x/z") }
        if self.canary == .matchesTooLittle, filter.text == "m/#", let other = self.world.filter("m/+") { return other }
        return filter
    }

    private func enter(_ session: TopicSession, _ slot: Int, _ filter: TopicFilter) {
        self.readers[session.loop].update(self.filter(filter)) { $0 = ($0 ?? []) + [Reader(session: session, slot: slot)] }
    }

    private func remove(_ session: TopicSession, _ slot: Int, _ filter: TopicFilter) {
        self.readers[session.loop].update(self.filter(filter)) { readers in
            readers?.removeAll { $0.session === session && $0.slot == slot }
            if readers?.isEmpty == true { readers = nil }
        }
    }

    private func sendRetained(_ wishes: [SubscribeWish], presented: TopicMark?, on session: TopicSession) {
        guard presented == nil, self.canary != .forgetsRetained else { return }
        for wish in wishes where wish.start == .latest {
            let send: ([TopicSlice.Entry]) -> Void = { [unowned self] entries in
                guard session.connection != nil, session.subscriptions.slot(of: wish.filter) != nil else { return }
                for entry in entries where !entry.message.isExpired(at: self.now) {
                    let number = Publication.number(in: entry.message.fragment)
                    self.world.oracle.sentRetained(number, wish.filter.text, on: session)
                    self.queue(.retained(number: number), on: session)
                }
                self.endTurn()
            }
            send(self.table.retained(wish.filter, app: .dev, limit: 100, now: self.now))
            self.readRetained(RetainedRequest(app: .dev, filter: wish.filter, values: 100, now: self.now), on: session, send)
        }
    }

    private func readRetained(_ request: RetainedRequest, on session: TopicSession, _ send: @escaping ([TopicSlice.Entry]) -> Void) {
        let box = Unshared((server: self, send: send, session: session))
        self.reads += 1
        self.store.retained(request) { result in
            let recalled = box.value.server.endRead()
            guard case .success(let slice) = result else { return box.value.server.end(box.value.session, tell: true) }
            box.value.send(slice.entries.filter { !recalled.contains($0.message.offset) })
            guard let reached = slice.reached else { return }
            var next = request
            next.after = reached
            next.now = box.value.server.now
            box.value.server.readRetained(next, on: box.value.session, box.value.send)
        }
    }

    // MARK: Ending

    func unsubscribe(_ filter: TopicFilter, _ reason: UnsubscribeReason, on session: TopicSession) {
        guard let slot = session.subscriptions.slot(of: filter) else { return }
        self.remove(session, slot, filter)
        session.subscriptions.unsubscribe(slot)
        self.world.oracle.unsubscribed(filter, reason, on: session)
        self.queue(.unsubscribed(filter, reason), on: session)
        self.endTurn()
    }

    func renew(_ session: TopicSession, _ client: TopicClient) {
        session.rights = client.rights.rights(self.world.limits)
        self.world.oracle.renewed(session, client)
        guard self.canary != .keepsWithdrawnRights else { return }
        for (_, filter) in session.subscriptions.all where self.canary == .endsTooMuch || !self.allows(filter, session) {
            self.unsubscribe(filter, .forbidden, on: session)
        }
    }

    func end(_ session: TopicSession, tell: Bool) {
        guard let connection = session.connection else { return }
        if tell { connection.pipe.append(.closed) }
        for (slot, filter) in session.subscriptions.all { self.remove(session, slot, filter) }
        session.connection = nil
        connection.session = nil
        self.sessions.removeAll { $0 === session }
    }
}

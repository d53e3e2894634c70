import MartletCore
import MartletWire

/// A session as the hub of the simulation holds it.
final class HubSession {
    let serial: Int
    let hello: Hello
    let presented: SimClient.Place?
    var session: Session
    var connection: Connection?
    var isOpened = false
    var isReserving = false
    var taps = 0
    /// With a canary: held back, to be sent after the next one.
    var heldBack: Delivery?

    init(serial: Int, hello: Hello, presented: SimClient.Place?, session: Session, connection: Connection) {
        self.serial = serial
        self.hello = hello
        self.presented = presented
        self.session = session
        self.connection = connection
    }

    func reads(_ inbox: InboxKey) -> Bool {
        switch inbox.scope {
        case .user: self.hello.user == inbox.name
        case .device: self.hello.device == inbox.name
        case .app: true
        }
    }
}

/// What carries out a session's decisions here, as small as it can be: one server process, from start to stop or crash.
final class Hub: @unchecked Sendable {
    unowned let world: World
    let store: any LogStore
    let clock: ManualClock
    let limits: Limits
    let canary: Canary?
    var sessions: [HubSession] = []
    private var touched: [HubSession] = []

    init(world: World, store: any LogStore, clock: ManualClock, limits: Limits, canary: Canary?) {
        self.world = world
        self.store = store
        self.clock = clock
        self.limits = limits
        self.canary = canary
        store.observe { [unowned self] in self.committed($0) }
    }

    var now: Int64 { self.canary == .clockIsBehind ? self.clock.now - 60_000 : self.clock.now }

    func holder(of device: String?) -> HubSession? {
        guard let device else { return nil }
        return self.sessions.first { $0.hello.device == device }
    }

    // MARK: Opening

    func open(_ hello: Hello, presented: SimClient.Place?, connection: Connection) {
        var granted = hello
        if self.canary == .doublesTheWindow { granted.windowMessages *= 2 }
        let serial = self.world.nextSerial()
        let session = HubSession(
            serial: serial, hello: hello, presented: presented,
            session: Session(granted, tag: UInt32(serial), epoch: self.store.epoch), connection: connection)
        connection.session = session
        if hello.beside, let holder = self.holder(of: hello.device) {
            if let cursor = hello.cursor { self.ack(.cursor(presented, cursor), on: holder) }
            connection.session = nil
            return
        }
        if let previous = self.holder(of: hello.device) {
            self.end(previous, tell: true)
        }
        self.sessions.append(session)
        guard let device = hello.device else {
            self.opened(session, record: nil, end: self.store.end)
            return
        }
        self.world.oracle.opening(device, user: hello.user)
        let opening = DeviceOpening(
            device: DeviceKey(app: hello.app, name: device), user: hello.user, fromNow: hello.fromNow,
            reserve: hello.ramenSeq == nil ? 0 : self.limits.seqBlock, at: self.clock.wall)
        let box = SessionBox(session)
        self.store.openDevice(opening) { [unowned self] result in
            switch result {
            case .success(let record): self.opened(box.session, record: record, end: record.end)
            case .failure: self.end(box.session, tell: true)
            }
        }
    }

    private func opened(_ live: HubSession, record: DeviceRecord?, end: UInt64) {
        guard let connection = live.connection else { return }
        do {
            let gaps = try live.session.opened(
                record, cursor: live.hello.cursor, ramenSeq: live.hello.ramenSeq, end: end, at: self.clock.wall)
            live.isOpened = true
            self.world.oracle.welcomed(live, client: connection.client)
            self.queue(.welcome(live.session.cursor), on: live)
            for gap in gaps { self.tell(gap, on: live) }
        } catch {
            self.world.oracle.refused(live, error)
            self.end(live, tell: true)
            return
        }
        self.pump(live)
        self.endTurn()
    }

    /// The session is over; what it has to say goes to the store.
    func end(_ live: HubSession, tell: Bool) {
        guard let connection = live.connection else { return }
        if tell { connection.pipe.append(.closed) }
        if let update = live.session.takeUpdate(at: self.clock.wall) { self.store.record([update]) }
        live.session.closed()
        live.connection = nil
        connection.session = nil
        self.sessions.removeAll { $0 === live }
    }

    // MARK: Delivering

    private func committed(_ commits: [Commit]) {
        for commit in commits {
            switch commit {
            case .stored(let message, let targets, let superseded):
                for (index, target) in targets.enumerated() {
                    for live in self.sessions where live.reads(target) {
                        let outcome = live.session.committed(
                            message, scope: target.scope, superseded: superseded[index], now: self.now,
                            at: self.clock.wall)
                        switch outcome {
                        case .send(let delivery): self.send(delivery, on: live)
                        case .wait: self.pump(live)
                        }
                    }
                }
            case .published: break
            case .recalled(let offset, let targets):
                for live in self.sessions where targets.contains(where: live.reads) { live.session.recalled(offset: offset) }
            }
        }
        self.endTurn()
    }

    func pump(_ live: HubSession) {
        if self.canary == .waitsForTheSlowest, self.sessions.contains(where: { $0.connection?.isSocketFull == true }) { return }
        self.reserve(live)
        guard let request = live.session.nextRead(now: self.now) else { return }
        let box = SessionBox(live)
        self.store.read(request) { [unowned self] result in self.readDone(box.session, result) }
    }

    private func readDone(_ live: HubSession, _ result: Result<ReadResult, StoreError>) {
        guard live.connection != nil else { return }
        switch result {
        case .failure:
            live.session.readFailed()
            self.end(live, tell: true)
        case .success(let result):
            let out = live.session.readDone(result, now: self.now, at: self.clock.wall)
            for gap in out.gaps { self.tell(gap, on: live) }
            var deliveries = out.deliveries
            if self.canary == .sendsLowBeforeHigh {
                deliveries = Priority.allCases.reversed().flatMap { priority in
                    deliveries.filter { $0.message.priority == priority }
                }
            }
            if self.canary == .swapsOrder { deliveries.reverse() }
            for delivery in deliveries { self.send(delivery, on: live) }
            self.endTurn()
            self.pump(live)
        }
    }

    private func reserve(_ live: HubSession) {
        guard live.session.isRamen, live.session.isLive, !live.isReserving, live.session.seqLeft < self.limits.seqBlock / 4 + 1,
            let device = live.hello.device
        else { return }
        live.isReserving = true
        let box = SessionBox(live)
        self.store.reserve(self.limits.seqBlock, for: DeviceKey(app: live.hello.app, name: device)) { [unowned self] result in
            box.session.isReserving = false
            guard case .success(let end) = result else { return }
            box.session.session.reserved(to: end)
            self.pump(box.session)
        }
    }

    private func send(_ delivery: Delivery, on live: HubSession) {
        var delivery = delivery
        if self.canary == .stripsRedelivered { delivery.redelivered = false }
        if self.canary == .marksEverythingRedelivered { delivery.redelivered = true }
        let place = SimClient.Place(session: live.serial, tap: live.taps, cursor: delivery.cursor, seq: delivery.seq)
        live.taps += 1
        let number = Publication.number(in: delivery.message.fragment)
        self.world.note("  session \(live.serial) is sent \(number) as \(delivery.seq)\(delivery.redelivered ? ", again" : "")")
        self.world.oracle.sent(delivery, number: number, on: live, now: self.clock.now)
        self.queue(.message(place, number: number), on: live)
    }

    private func tell(_ gap: GapNotice, on live: HubSession) {
        if self.canary == .dropsGapNotices { return }
        self.world.oracle.told(gap, on: live)
        self.queue(.gap(gap), on: live)
    }

    private func queue(_ frame: Frame, on live: HubSession) {
        live.connection?.queued.append(frame)
        if !self.touched.contains(where: { $0 === live }) { self.touched.append(live) }
    }

    private func endTurn() {
        let touched = self.touched
        self.touched = []
        for live in touched {
            guard let connection = live.connection else { continue }
            if self.world.flush(connection) { self.socketTook(connection) }
        }
    }

    // MARK: What clients do

    func socketTook(_ connection: Connection) {
        connection.isSocketFull = false
        guard let live = connection.session else { return }
        live.session.socketTook()
        self.world.oracle.socketTook(live)
        self.pump(live)
        if self.canary == .waitsForTheSlowest { for other in self.sessions { self.pump(other) } }
    }

    enum Ack {
        case upTo(SimClient.Place)
        case each([SimClient.Place])
        /// The place is nil if it is another's cursor.
        case cursor(SimClient.Place?, Cursor)
    }

    func ack(_ ack: Ack, on live: HubSession) {
        do {
            switch ack {
            case .upTo(let place):
                try live.session.acked(.upTo(place.seq), at: self.clock.wall)
                // Numbers mean nothing before the record is there; should the session end first, the ack is to be repeated.
                guard live.isOpened else { return }
                self.world.oracle.acked(upTo: place, on: live, now: self.clock.now)
            case .each(let places):
                try live.session.acked(.each(places.map(\.seq)), at: self.clock.wall)
                self.world.oracle.acked(each: places, on: live, now: self.clock.now)
            case .cursor(let place, let cursor):
                try live.session.acked(cursor, end: self.store.end, at: self.clock.wall)
                self.world.oracle.ackedByCursor(of: place?.session, on: live)
                if let place { self.world.oracle.acked(upTo: place, on: live, now: self.clock.now) }
            }
        } catch {
            if case .cursor(let place, _) = ack, !self.world.oracle.isOfThisHistory(place) { return }
            self.world.oracle.refused(live, error)
        }
        if self.canary != .forgetsToReadOn { self.pump(live) }
    }

    /// An ack for a device that is not connected.
    func ackAway(_ place: SimClient.Place, hello: Hello) {
        guard let device = hello.device else { return }
        var hello = hello
        hello.fromNow = false
        let finalHello = hello
        self.world.oracle.opening(device, user: hello.user)
        let opening = DeviceOpening(
            device: DeviceKey(app: hello.app, name: device), user: hello.user, fromNow: false, at: self.clock.wall)
        self.store.openDevice(opening) { [unowned self] result in
            guard case .success(let record) = result else { return }
            let hello = finalHello
            var session = Session(hello, tag: 1, epoch: self.store.epoch)
            let gaps = try? session.opened(
                record, cursor: hello.cursor, ramenSeq: hello.ramenSeq, end: record.end, at: self.clock.wall)
            if gaps != nil { self.world.oracle.presented(place, by: hello, now: self.clock.now) }
            if let update = session.takeUpdate(at: self.clock.wall) { self.store.record([update]) }
            // A session that began meanwhile read the record before this.
            guard let holder = self.holder(of: device), hello.ramenSeq == nil || holder.hello.user == hello.user else { return }
            self.ack(hello.ramenSeq == nil ? .cursor(place, place.cursor) : .upTo(place), on: holder)
        }
    }

    func takeUpdates() {
        let updates = self.sessions.compactMap { $0.session.takeUpdate(at: self.clock.wall) }
        if !updates.isEmpty { self.store.record(updates) }
    }
}

/// Carries a session into a callback of the store; all of it is on one thread.
private final class SessionBox: @unchecked Sendable {
    let session: HubSession
    init(_ session: HubSession) { self.session = session }
}

import MartletCore
import MartletWire

/// Judges a history by what publishers were answered and clients were sent, received and acked. Knows nothing of the inside.
final class Oracle {
    private(set) var violations: [Violation] = []
    private(set) var tick = 0
    private(set) var publications: [Publication] = []
    var devices: [String: DeviceView] = [:]
    var sessions: [Int: SessionView] = [:]
    var epoch = 0
    var run = 0
    let inboxLimit: Int
    /// Messages that were ever meant for an inbox.
    private var inboxCounts: [InboxKey: Int] = [:]
    private var keyOwners: [String: KeyOwner] = [:]

    private struct KeyOwner {
        var tried: Set<Int> = []
        var stored: (number: Int, id: MessageID)?
    }

    init(inboxLimit: Int) { self.inboxLimit = inboxLimit }

    func broken(_ promise: Promise, _ what: @autoclosure () -> String) {
        if !self.violations.contains(where: { $0.promise == promise }) {
            self.violations.append(Violation(promise: promise, what: what()))
        }
    }

    func device(_ name: String) -> DeviceView {
        if let known = self.devices[name] { return known }
        let view = DeviceView(name)
        self.devices[name] = view
        return view
    }

    func nextTick() -> Int {
        self.tick += 1
        return self.tick
    }

    // MARK: Publishers

    func submitted(_ publication: Publication, isFirst: Bool) {
        if isFirst { self.publications.append(publication) }
        if publication.ttl > 0 { for target in publication.targets { self.inboxCounts[target, default: 0] += 1 } }
        if let key = publication.idempotencyKey { self.keyOwners[key, default: .init()].tried.insert(publication.number) }
    }

    func answered(_ publication: Publication, _ outcome: AppendOutcome, now: Int64) {
        switch outcome {
        case .failed: break
        case .conflict:
            let owner = publication.idempotencyKey.flatMap { self.keyOwners[$0] }
            let others = (owner?.tried.count ?? 0) > 1
            if owner?.stored?.number == publication.number || !others {
                self.broken(.idempotent, "message \(publication.number) was refused as a conflict with itself")
            }
        case .stored(let id, _):
            if let key = publication.idempotencyKey {
                if let stored = self.keyOwners[key]?.stored, stored.number != publication.number || stored.id != id {
                    self.broken(
                        .idempotent, "key \(key) gave \(stored.number) \(stored.id), then \(publication.number) \(id)")
                }
                self.keyOwners[key]?.stored = (publication.number, id)
            }
            if let known = publication.id, known != id {
                self.broken(.idempotent, "message \(publication.number) is \(known), and \(id)")
            }
            publication.id = id
            if publication.answeredTick == nil {
                publication.answeredTick = self.nextTick()
                publication.answeredNow = now
            }
        }
    }

    /// A server that came up again was asked for a message that had been acknowledged.
    func looked(for publication: Publication, isThere: Bool) {
        if !isThere { self.broken(.durable, "message \(publication.number) was acknowledged and is gone after a crash") }
    }

    func couldOverflow(_ inbox: InboxKey) -> Bool { self.inboxCounts[inbox, default: 0] > self.inboxLimit }

    // MARK: Sessions

    /// A device asks for a session, or acks without one.
    func opening(_ name: String, user: String?) {
        let device = self.device(name)
        if device.attempts > 0, device.user != user {
            device.done = device.done.filter { self.publications[$0.key].targets.first?.scope != .user }
            device.newest = device.newest.filter { $0.key.scope != .user }
        }
        device.user = user
        device.attempts += 1
    }

    func welcomed(_ live: HubSession, client: SimClient) {
        let device = live.hello.device.map(self.device)
        let view = SessionView(
            serial: live.serial, device: device, user: live.hello.user, mode: live.hello.ackMode,
            windowMessages: live.hello.windowMessages, windowBytes: live.hello.windowBytes, tick: self.nextTick(),
            epoch: self.epoch, run: self.run, isFirst: device?.attempts == 1,
            hasShares: !live.hello.isPoll)
        self.sessions[live.serial] = view
        if let device {
            if !device.wasWelcomed, live.hello.fromNow { device.startedAt = view.welcomedTick }
            device.wasWelcomed = true
        }
        guard let cursor = live.hello.cursor else { return }
        guard let place = live.presented, let origin = self.sessions[place.session] else {
            self.foreign(cursor, on: view, live)
            return
        }
        self.presented(place, by: live.hello, now: self.now)
        if origin.epoch != self.epoch {
            view.expectedGaps.insert(.epoch)
        } else if live.hello.user != nil, origin.user != nil, origin.user != live.hello.user {
            view.expectedGaps.insert(.owner)
        }
    }

    /// The server's clock, as the world last said.
    var now: Int64 = 0

    /// Somebody else's cursor, or one that was made up: what of it counts by the rules acks what the device never saw.
    private func foreign(_ cursor: Cursor, on view: SessionView, _ live: HubSession) {
        let own = CursorIdentity(epoch: cursor.epoch, app: .dev, user: live.hello.user, device: live.hello.device)
        let pairs = [(own.userHash, cursor.userHash), (own.deviceHash, cursor.deviceHash), (own.appHash, cursor.appHash)]
        for (scope, (mine, theirs)) in pairs.enumerated() where mine != 0 && theirs != 0 {
            if mine != theirs {
                view.expectedGaps.insert(.owner)
            } else if cursor.epoch != live.session.cursor.epoch {
                view.expectedGaps.insert(.epoch)
            } else if UInt64(cursor.tag) == Self.madeUpTag {
                view.expectedGaps.insert(.beyondEnd)
            } else {
                view.device?.hiddenUpTo[scope] = self.tick
            }
        }
    }

    /// Says that a cursor was made up, with offsets beyond any end.
    static let madeUpTag: UInt64 = 0xffff_ffff

    func told(_ gap: GapNotice, on live: HubSession) { self.sessions[live.serial]?.expectedGaps.remove(gap.reason) }

    func refused(_ live: HubSession, _ error: WireError) {
        guard live.presented != nil || live.hello.cursor == nil else { return }
        self.broken(.atLeastOnce, "a client was refused what it had been given: \(error.message)")
    }

    func isOfThisHistory(_ place: SimClient.Place?) -> Bool {
        place.flatMap { self.sessions[$0.session] }?.epoch == self.epoch
    }

    func socketTook(_ live: HubSession) {
        guard let view = self.sessions[live.serial], view.mode == .none else { return }
        for index in view.taps.indices { view.leavesWindow(index) }
    }

    // MARK: Acks

    func acked(upTo place: SimClient.Place, on live: HubSession, now: Int64) {
        self.presented(place, by: live.hello, on: live, now: now)
    }

    func acked(each places: [SimClient.Place], on live: HubSession, now: Int64) {
        guard let origin = self.sessions[live.serial] else { return }
        self.mark(origin, places.map(\.tap), by: live.hello, isLive: true, now: now)
    }

    /// A position that was handed in when connecting, or without a session.
    func presented(_ place: SimClient.Place, by hello: Hello, on live: HubSession? = nil, now: Int64) {
        guard let origin = self.sessions[place.session], place.tap < origin.taps.count else { return }
        self.mark(origin, Array(0...place.tap), by: hello, isLive: live?.serial == place.session, now: now)
    }

    func ackedByCursor(of session: Int?, on live: HubSession) {
        if session != live.serial { self.sessions[live.serial]?.isWindowUnknown = true }
        // Somebody else's: it may have acked what this device never saw.
        if session == nil, let device = live.hello.device { self.device(device).hiddenUpTo = [self.tick, self.tick, self.tick] }
    }

    private func mark(_ origin: SessionView, _ indices: [Int], by hello: Hello, isLive: Bool, now: Int64) {
        for index in indices where origin.taps.indices.contains(index) {
            origin.taps[index].isAcked = true
            if origin.mode == .explicit, isLive { origin.leavesWindow(index) }
        }
        guard let device = origin.device, origin.epoch == self.epoch else { return }
        // The map from RAMEN numbers is of the last session only, and a crash may have cost it.
        if hello.ramenSeq != nil, origin.run != self.run || device.lastSession != origin.serial { return }
        var blocked = Set<Lane>()
        for tap in origin.taps {
            if !tap.isAcked { blocked.insert(tap.lane) }
            guard !blocked.contains(tap.lane), tap.lane.scope != .user || origin.user == hello.user && device.user == hello.user
            else { continue }
            // One that was sent in an older one's place may come again in its own.
            guard self.publications[tap.number].collapseKey == nil, device.done[tap.number] == nil else { continue }
            device.done[tap.number] = now
        }
    }

    /// The server died; positions were last written for sure at this time.
    func crashed(recordedUntil: Int64) {
        self.run += 1
        for device in self.devices.values { device.done = device.done.filter { $0.value < recordedUntil } }
    }
}

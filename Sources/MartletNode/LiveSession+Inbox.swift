import MartletCore
import MartletWire
import NIOCore

/// What a session has for its device's inboxes.
final class InboxReader {
    var session: Session
    /// A message that was sent live and whose ack is waited for, to measure it; one at a time.
    var sample: (lane: Lane, offset: UInt64, committed: NIODeadline)?
    var isReserving = false

    init(_ session: Session) { self.session = session }
}

/// Delivering from inboxes, and acks.
extension LiveSession {
    /// The inboxes that it reads.
    var inboxes: [InboxKey] {
        guard self.inbox != nil else { return [] }
        var inboxes: [InboxKey] = [.everyone(in: self.app)]
        if let user = self.user { inboxes.append(.user(user, in: self.app)) }
        if let device = self.device { inboxes.append(.device(device, in: self.app)) }
        return inboxes
    }

    /// The place after everything that was sent so far.
    var cursor: Cursor {
        var cursor =
            self.inbox?.session.cursor
            ?? Cursor(
                tag: 0, epoch: self.node.store.epoch, appHash: Cursor.hash(String(self.app.rawValue)), userHash: 0, deviceHash: 0,
                positions: Positions())
        cursor.topics = self.topicPlace()
        return cursor
    }

    func committed(_ message: StoredMessage, scope: Scope, superseded: UInt64?, now: Int64, at: Int64) {
        guard let inbox = self.inbox else { return }
        switch inbox.session.committed(message, scope: scope, superseded: superseded, now: now, at: at) {
        case .wait:
            self.pumpInbox()
            self.settleIfDone()
        case .send(let delivery):
            self.send(delivery)
            if inbox.sample == nil {
                inbox.sample = (Lane(scope, message.priority), message.offset, self.shard.committedAt)
            }
            self.touch()
            self.noteUpdate()
        }
    }

    func recalled(offset: UInt64) { self.inbox?.session.recalled(offset: offset) }

    private func send(_ delivery: consuming Delivery) {
        if self.topics != nil { delivery.cursor.topics = self.topicPlace() }
        self.client?.send(delivery)
        self.shard.tally.sent(delivery, on: self.transport)
    }

    /// Reads on in the inboxes if there is something to read and room for it.
    func pumpInbox() {
        guard let inbox = self.inbox else { return }
        self.reserveIfNeeded()
        guard let request = inbox.session.nextRead(now: self.node.clock.now()) else { return }
        self.node.store.read(request) { result in
            self.shard.loop.execute { self.readDone(result) }
        }
    }

    private func readDone(_ result: Result<ReadResult, StoreError>) {
        guard let inbox = self.inbox else { return }
        let clock = self.node.clock
        switch result {
        case .failure:
            inbox.session.readFailed()
            self.close(.storeUnavailable, retryAfterMs: self.pause)
            return
        case .success(let result):
            let out = inbox.session.readDone(result, now: clock.now(), at: clock.wall())
            if let client = self.client {
                self.tell(out.gaps, client)
                for delivery in out.deliveries { self.send(delivery) }
            }
            if !out.gaps.isEmpty || !out.deliveries.isEmpty { self.touch() }
            self.noteUpdate()
        }
        self.shard.endTurn()
        self.pump()
    }

    /// Reserves the next block of RAMEN numbers before the present one ends.
    private func reserveIfNeeded() {
        let block = self.node.limits.seqBlock
        guard let inbox = self.inbox, inbox.session.isRamen, inbox.session.isLive, !inbox.isReserving,
            inbox.session.seqLeft < block / 4, let device = self.deviceKey
        else { return }
        inbox.isReserving = true
        self.node.store.reserve(block, for: device) { result in
            self.shard.loop.execute {
                guard let inbox = self.inbox else { return }
                inbox.isReserving = false
                switch result {
                case .success(let end):
                    inbox.session.reserved(to: end)
                    self.pump()
                case .failure:
                    // Tried again by the next heartbeat.
                    break
                }
            }
        }
    }

    // MARK: Acks

    func ack(_ ack: SeqAck) throws(WireError) {
        guard let inbox = self.inbox else { throw Self.nothingToAck }
        try inbox.session.acked(ack, at: self.node.clock.wall())
        self.noteAck(inbox)
        self.pump()
    }

    func ack(_ cursor: Cursor) throws(WireError) {
        guard let inbox = self.inbox else { throw Self.nothingToAck }
        try inbox.session.acked(cursor, end: self.node.store.end, at: self.node.clock.wall())
        self.noteAck(inbox)
        self.pump()
    }

    private static let nothingToAck = WireError(
        .badRequest, "This session has no inbox, and messages of topics are not acked: present the cursor when you come back.")

    private func noteAck(_ inbox: InboxReader) {
        self.node.noteAck()
        if let sample = inbox.sample, inbox.session.acked[sample.lane] >= sample.offset {
            inbox.sample = nil
            self.node.metrics.acked(after: .now() - sample.committed)
        }
        self.noteUpdate()
    }

    func noteUpdate() {
        guard !self.isDirty, self.inbox?.session.hasUpdate == true else { return }
        self.isDirty = true
        self.shard.dirtied(self)
    }

    /// What the store is to be told now.
    func takeUpdate(at: Int64) -> DeviceUpdate? {
        self.isDirty = false
        return self.inbox?.session.takeUpdate(at: at)
    }
}

import MartletCore
import MartletWire

extension Oracle {
    /// A message is put on the wire.
    func sent(_ delivery: Delivery, number: Int, on live: HubSession, now: Int64) {
        guard let view = self.sessions[live.serial], self.publications.indices.contains(number) else {
            self.broken(.isolated, "something that nobody published was sent")
            return
        }
        let tick = self.nextTick()
        let publication = self.publications[number]
        let id = delivery.message.id
        let name = "message \(number) to \(view.device?.name ?? "nobody") of \(view.user ?? "no user")"
        if !view.expectedGaps.isEmpty {
            self.broken(.noSilentGap, "\(name): the cursor presented was not this reader's, and nothing said so")
        }
        if let known = publication.id, known != id { self.broken(.idempotent, "\(name) is stored twice: \(known), \(id)") }
        publication.id = id
        guard let inbox = publication.inbox(user: view.user, device: view.device?.name) else {
            self.broken(.isolated, "\(name), which is for \(publication.targets.map(\.name))")
            return
        }
        let lane = Lane(inbox.scope, publication.priority)
        self.checkRepeats(publication, delivery, view, name)
        self.checkOrder(publication, id, lane, view, name)
        self.checkTime(publication, now, name)
        self.checkGone(publication, inbox, name)
        for other in self.publications
        where other.priority < publication.priority && self.isPending(other, on: view, at: tick, now: now) {
            self.broken(.priority, "\(name), \(publication.priority.name), while \(other.number), \(other.priority.name), was pending")
            break
        }
        let bytes = delivery.message.weight
        view.taps.append(.init(number: number, seq: delivery.seq, lane: lane, bytes: bytes))
        view.sent.insert(number)
        view.inFlight[Int(lane.priority.rawValue)] += 1
        view.inFlightBytes[Int(lane.priority.rawValue)] += bytes
        self.checkWindow(lane.priority, view, name)
        view.device?.sent.insert(number)
        view.device?.lastSession = view.serial
    }

    private func checkRepeats(_ publication: Publication, _ delivery: Delivery, _ view: SessionView, _ name: String) {
        guard let device = view.device else { return }
        let number = publication.number
        if device.done[number] != nil { self.broken(.ackedIsDone, "\(name) was acked, and is sent again") }
        if device.sent.contains(number) {
            if !delivery.redelivered { self.broken(.ackedIsDone, "\(name) is a repeat and does not say so") }
        } else if delivery.redelivered, publication.submittedTick > view.welcomedTick || view.isFirst {
            self.broken(.ackedIsDone, "\(name) is new and called a repeat")
        }
    }

    private func checkOrder(
        _ publication: Publication, _ id: MessageID, _ lane: Lane, _ view: SessionView, _ name: String
    ) {
        if let newest = view.newest[lane], newest >= id { self.broken(.order, "\(name) after a newer one of its lane") }
        // One with a collapse key may stand in an older one's place.
        guard publication.collapseKey == nil else { return }
        view.newest[lane] = id
        guard let device = view.device, !device.sent.contains(publication.number), device.hiddenUpTo == [0, 0, 0] else { return }
        if let newest = device.newest[lane], newest >= id {
            self.broken(.order, "\(name) comes first after a newer one of its lane, sessions ago")
        }
        device.newest[lane] = id
    }

    private func checkTime(_ publication: Publication, _ now: Int64, _ name: String) {
        guard let answered = publication.answeredNow else { return }
        if publication.ttl == 0 || now >= answered + Int64(publication.ttl) * 1_000 {
            self.broken(.ttl, "\(name) after it had expired")
        }
    }

    private func checkGone(_ publication: Publication, _ inbox: InboxKey, _ name: String) {
        if publication.recalledTick != nil { self.broken(.collapseAndRecall, "\(name) was recalled, and is sent") }
        guard publication.collapseKey != nil else { return }
        for other in self.publications
        where other.answeredTick != nil && other.id != nil && other.mayReplace(publication, in: inbox) {
            self.broken(.collapseAndRecall, "\(name) was replaced by \(other.number), and is sent")
        }
    }

    private func checkWindow(_ priority: Priority, _ view: SessionView, _ name: String) {
        guard !view.isWindowUnknown else { return }
        let total = view.inFlight.reduce(0, +)
        let bytes = view.inFlightBytes.reduce(0, +)
        if total > view.windowMessages || total > 1 && bytes > view.windowBytes {
            self.broken(.bounded, "\(name): \(total) messages, \(bytes) bytes in flight, of \(view.windowMessages), \(view.windowBytes)")
        }
        guard view.hasShares, priority != .high, total > 1 else { return }
        let low = view.inFlight[2]
        let both = view.inFlight[1] + low
        if priority == .low, low > max(1, view.windowMessages / 2) || view.inFlightBytes[2] > view.windowBytes / 2 {
            self.broken(.priority, "\(name): low takes more than half of the window")
        }
        if both > max(1, view.windowMessages * 3 / 4)
            || view.inFlightBytes[1] + view.inFlightBytes[2] > view.windowBytes * 3 / 4
        {
            self.broken(.priority, "\(name): medium and low take more than three quarters of the window")
        }
    }

    /// Whether a message must still be sent on a session, for all that can be seen from outside.
    func isPending(_ publication: Publication, on view: SessionView, at tick: Int, now: Int64) -> Bool {
        guard let answered = publication.answeredTick, answered < tick, publication.ttl > 0,
            !view.sent.contains(publication.number), !publication.wasRecallAsked,
            now < publication.submittedNow + Int64(publication.ttl) * 1_000,
            let inbox = publication.inbox(user: view.user, device: view.device?.name),
            !self.couldOverflow(inbox)
        else { return false }
        if publication.submittedTick < view.welcomedTick {
            // It may have been acked before: only what the device was never sent is pending for sure.
            guard let device = view.device, !device.sent.contains(publication.number),
                self.isMeant(publication, for: device, through: inbox)
            else { return false }
        }
        return !self.isReplaced(publication, in: inbox)
    }

    func isReplaced(_ publication: Publication, in inbox: InboxKey) -> Bool {
        publication.collapseKey != nil && self.publications.contains { $0.mayReplace(publication, in: inbox) }
    }

    /// Whether nothing that the device did hides it: starting after it, or presenting others' cursors.
    func isMeant(_ publication: Publication, for device: DeviceView, through inbox: InboxKey) -> Bool {
        publication.submittedTick >= device.startedAt
            && publication.submittedTick >= device.hiddenUpTo[Int(inbox.scope.rawValue)]
    }
}

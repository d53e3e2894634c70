import MartletCore

extension Oracle {
    /// A client got a frame.
    func received(_ frame: Frame, client: SimClient) {
        guard let device = client.device.map(self.device) else { return }
        switch frame {
        case .message(_, let number): device.received.insert(number)
        case .gap(let gap):
            if gap.reason == .inboxFull, let priority = gap.priority { device.toldFull.insert(Lane(gap.scope, priority)) }
        case .welcome, .closed: break
        }
    }

    /// Everything that the server had to do is done: a session with an empty window has nothing pending.
    func checkStuck(_ live: HubSession, othersAreSlow: Bool) {
        guard let view = self.sessions[live.serial], view.inFlight == [0, 0, 0] else { return }
        for publication in self.publications
        where self.isPending(publication, on: view, at: self.tick + 1, now: self.now) {
            self.broken(
                othersAreSlow ? .isolated : .atLeastOnce,
                "message \(publication.number) is not sent to \(view.device?.name ?? "nobody") on session \(live.serial), though nothing is in its way"
                    + (othersAreSlow ? " but other clients" : ""))
            return
        }
    }

    /// Everybody has come back, acked, and heard nothing more.
    func checkEnd(_ clients: [SimClient]) {
        for client in clients {
            guard let device = client.device.map(self.device) else { continue }
            for publication in self.publications where publication.answeredTick != nil && publication.ttl > 0 {
                guard let inbox = publication.inbox(user: client.user, device: device.name),
                    !device.received.contains(publication.number), !publication.wasRecallAsked,
                    self.now < publication.submittedNow + Int64(publication.ttl) * 1_000,
                    self.isMeant(publication, for: device, through: inbox), !self.isReplaced(publication, in: inbox)
                else { continue }
                let name = "message \(publication.number) never reached \(device.name) of \(client.user ?? "no user")"
                if !self.couldOverflow(inbox) {
                    self.broken(.atLeastOnce, name)
                } else if !device.toldFull.contains(Lane(inbox.scope, publication.priority)) {
                    self.broken(.noSilentGap, "\(name), and nothing was said")
                }
            }
        }
    }
}

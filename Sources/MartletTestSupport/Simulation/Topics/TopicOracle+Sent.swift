import MartletCore
import MartletWire

extension TopicOracle {
    /// A message is put on the wire.
    func sent(_ message: StoredMessage, number: Int, topic: String, on session: TopicSession) {
        guard let view = self.sessions[session.serial], self.publications.indices.contains(number) else {
            return self.broken(.isolated, "something that nobody published was sent")
        }
        let publication = self.publications[number]
        let name = "message \(number) to \(publication.topic) on session \(session.serial)"
        let live = view.live(publication.topic)
        let ever = view.matching(publication.topic)
        view.events.append(.sent(number))
        view.counts[number, default: 0] += 1
        self.checkAllowed(publication, topic, live, view, name)
        if publication.ttl > 0, let answered = publication.answeredNow, self.now >= answered + Int64(publication.ttl) * 1_000 {
            self.broken(.ttl, "\(name) after it had expired")
        }
        if publication.isRecalled { self.broken(.collapseAndRecall, "\(name) was recalled, and is sent") }
        self.checkOnce(publication, live, view, name)
        self.checkWindow(message, view, name)
        self.checkOrder(publication, message, live, view, name)
        for case .gap(let gap, let histories, _) in view.events where gap.reason == .trimmed && self.covers(gap, publication, histories) {
            self.broken(.noSilentGap, "\(name), which was told to be gone")
        }
        if ever.count == 1, let filter = live.first { self.checkStart(publication, filter, view, name) }
    }

    /// However many filters match a message, it comes once; again only for who asks again, or for history.
    private func checkOnce(_ publication: TopicPublication, _ live: [TopicView.Filter], _ view: TopicView, _ name: String) {
        let tick = self.nextTick()
        if let before = view.sentTicks.updateValue(tick, forKey: publication.number) {
            let isAskedAgain = live.contains { filter in
                filter.sinceTick > before
                    && view.matching(publication.topic).contains { $0.sinceTick <= before && ($0.endedTick ?? .max) < filter.sinceTick }
            }
            if !isAskedAgain { self.broken(.ackedIsDone, "\(name) is sent again") }
        }
        guard let log = publication.log, publication.history == self.histories[log], view.presentedHistories?[log] == publication.history
        else { return }
        let resumed = Set(view.filters.filter(\.isResumed).map(\.text))
        // One that a cursor did not know began where the others were, and is owed what they had.
        if live.allSatisfy({ $0.delivered[publication.number]?.isSubset(of: resumed) ?? false }) {
            self.broken(.ackedIsDone, "\(name), which the cursor had passed")
        }
    }

    private func checkAllowed(
        _ publication: TopicPublication, _ topic: String, _ live: [TopicView.Filter], _ view: TopicView, _ name: String
    ) {
        if topic != publication.topic || live.isEmpty { self.broken(.isolated, "\(name), which nobody asked for") }
        if !view.grant.allows(topic, self.options(topic).subscribe) { self.broken(.isolated, "\(name), which the token does not allow") }
    }

    private func checkWindow(_ message: StoredMessage, _ view: TopicView, _ name: String) {
        view.inFlight.append(message.weight)
        // One that is larger goes when nothing else is on its way.
        if view.inFlight.count > 1, view.inFlight.reduce(0, +) > view.windowBytes {
            self.broken(.bounded, "\(name): \(view.inFlight) bytes in flight, of \(view.windowBytes)")
        }
    }

    private func checkOrder(
        _ publication: TopicPublication, _ message: StoredMessage, _ live: [TopicView.Filter], _ view: TopicView, _ name: String
    ) {
        // What is not kept goes out at once, while kept ones before it may still be read.
        let key = "\(publication.log?.rawValue ?? 9) \(publication.isStored) \(publication.topic)"
        if let newest = view.newest[key], newest.id >= message.id {
            // Who asks for history later gets it after what came before that.
            let isHistory = live.contains { $0.wantsHistory && $0.sinceTick > newest.tick }
            if !isHistory { self.broken(.order, "\(name) after a newer one") }
            return
        }
        view.newest[key] = (message.id, self.nextTick())
    }

    private func checkStart(_ publication: TopicPublication, _ filter: TopicView.Filter, _ view: TopicView, _ name: String) {
        guard let log = publication.log, let stored = publication.storedTick, stored < filter.sinceTick,
            publication.history == self.histories[log]
        else { return }
        guard !filter.isResumed else { return }
        switch filter.start {
        case .latest where view.presentedHistories == nil: self.broken(.bounded, "\(name), from before the subscription began")
        case .last(let count) where view.presentedHistories == nil:
            let older = view.counts.keys.map { self.publications[$0] }.filter {
                $0.log == log && ($0.storedTick ?? .max) < filter.sinceTick && view.matching($0.topic).map(\.text) == [filter.text]
            }
            if older.count > count { self.broken(.bounded, "\(name), beyond the last \(count)") }
        default: break
        }
    }

    func sentRetained(_ number: Int, _ filter: String, on session: TopicSession) {
        guard let view = self.sessions[session.serial], self.publications.indices.contains(number) else { return }
        let publication = self.publications[number]
        let name = "the retained value \(number) of \(publication.topic)"
        view.retained.insert(number)
        self.checkAllowed(publication, publication.topic, view.live(publication.topic), view, name)
        if !plainlyMatches(filter, publication.topic) { self.broken(.isolated, "\(name) for \(filter)") }
        if publication.isRecalled { self.broken(.collapseAndRecall, "\(name) was recalled") }
        if let answered = publication.answeredNow, self.now >= answered + Int64(publication.ttl) * 1_000 {
            self.broken(.ttl, "\(name) has expired")
        }
    }

    /// A gap is told.
    func told(_ gap: TopicGap, on session: TopicSession) {
        guard let view = self.sessions[session.serial] else { return }
        view.events.append(.gap(gap, self.histories, tick: self.nextTick()))
        let name = "the gap \(gap.reason) of \(gap.topic) from \(gap.from.map(String.init) ?? "-") to \(gap.to.map(String.init) ?? "-")"
        switch gap.reason {
        case .epoch:
            if view.presentedHistories.map({ $0 == self.histories }) ?? true {
                self.broken(.noSilentGap, "\(name): the cursor was of this history")
            }
        case .beyondEnd: self.broken(.noSilentGap, "\(name): nobody was there")
        case .slow, .trimmed:
            let covered = self.publications.filter { self.covers(gap, $0, self.histories) }
            // What a crash left in the store without a word to anyone may be what it ends with.
            let isSure = !self.publications.contains { $0.isStored && $0.offset == nil && plainlyMatches(gap.topic, $0.topic) }
            if isSure, !covered.contains(where: { $0.offset == gap.to }) { self.broken(.noSilentGap, "\(name): it does not end with a message") }
            if let kept = covered.first(where: { gap.reason == .trimmed && self.isKeptForSure($0) }) {
                self.broken(.noSilentGap, "\(name): message \(kept.number) is within what is kept")
            }
        }
    }

    // MARK: At rest

    /// Everything that the server had to do is done, and the socket is empty: nothing is owed.
    func checkStuck(_ session: TopicSession) {
        guard let view = self.sessions[session.serial], view.inFlight.isEmpty else { return }
        for filter in view.filters where filter.endedTick == nil {
            let accounted = self.accounted(filter, view, upTo: .max)
            for publication in self.publications where plainlyMatches(filter.text, publication.topic) {
                guard publication.answeredTick != nil, publication.offset != nil, !publication.wasRecallAsked,
                    publication.ttl == 0 || !publication.isExpired(at: self.now)
                else { continue }
                if accounted.contains(publication.number) {
                    self.checkHistory(publication, filter, view)
                    continue
                }
                // Without a log it is for those who were there.
                if publication.log == nil, publication.submittedTick < filter.sinceTick { continue }
                // With nothing in its way, what is still kept is stuck; what is not was lost without a word.
                self.broken(
                    self.isKeptForSure(publication) ? .atLeastOnce : .noSilentGap,
                    "message \(publication.number) to \(publication.topic) (offset \(publication.offset ?? 0)) is neither sent for \(filter.text) on session \(view.serial), nor told missing"
                )
                return
            }
            self.checkRetained(filter, view)
        }
    }

    /// What was there before a subscription that wanted it.
    private func checkHistory(_ publication: TopicPublication, _ filter: TopicView.Filter, _ view: TopicView) {
        guard !filter.isResumed, view.presentedHistories == nil, let stored = publication.storedTick, stored < filter.sinceTick,
            view.counts[publication.number] == nil, self.isKeptForSure(publication)
        else { return }
        switch filter.start {
        case .earliest: break
        case .last(let count):
            // The last as of when they are read, which may be a little later.
            let newer = self.publications.filter {
                $0.log != nil && plainlyMatches(filter.text, $0.topic) && ($0.storedTick ?? .max) > stored
            }
            guard newer.count < count else { return }
        case .latest, .time, .after: return
        }
        self.broken(
            .atLeastOnce, "message \(publication.number) is kept, and \(filter.text) from \(filter.start) did not get it on session \(view.serial)")
    }

    private func checkRetained(_ filter: TopicView.Filter, _ view: TopicView) {
        guard filter.start == .latest, view.presentedHistories == nil, !self.isMemoryLimited else { return }
        for topic in self.topics where plainlyMatches(filter.text, topic) {
            let changes = self.publications.filter { $0.topic == topic && $0.retain != .leave }
            guard let last = changes.last, last.retain == .set, last.ttl > 0, last.answeredTick.map({ $0 < filter.sinceTick }) ?? false,
                changes.allSatisfy({ ($0.offset ?? 0) <= (last.offset ?? 0) || $0.isStored != last.isStored }),
                last.history == self.histories[last.isStored ? .durable : .memory], !last.isExpired(at: self.now), !last.wasRecallAsked
            else { continue }
            if !view.retained.contains(last.number) {
                self.broken(.atLeastOnce, "the retained value \(last.number) of \(topic) was not sent for \(filter.text) on session \(view.serial)")
            }
        }
    }
}

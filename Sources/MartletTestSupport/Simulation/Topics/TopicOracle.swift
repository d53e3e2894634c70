import MartletCore
import MartletWire

/// What the oracle knows of a session from outside.
final class TopicView {
    enum Event {
        case sent(Int)
        case gap(TopicGap, TopicPublication.Histories, tick: Int)
    }

    struct Filter {
        var text: String
        var start: TopicStart
        /// Whether it went on from a cursor that knew it.
        var isResumed: Bool
        var sinceTick: Int
        var endedTick: Int?
        /// Numbers that it is not owed.
        var excused: Set<Int>
        /// What the cursor's sessions had been sent of it up to the cursor, with all of their filters that match it.
        var delivered: [Int: Set<String>]

        /// Whether it asks for what was there before.
        var wantsHistory: Bool { self.start != .latest && !self.isResumed }
    }

    let serial: Int
    let windowBytes: Int
    let histories: TopicPublication.Histories
    /// Those of the session whose cursor was presented.
    var presentedHistories: TopicPublication.Histories?
    var grant: TopicGrant
    var filters: [Filter] = []
    var events: [Event] = []
    var counts: [Int: Int] = [:]
    /// When each message was sent last.
    var sentTicks: [Int: Int] = [:]
    var retained: Set<Int> = []
    /// Sizes of what the socket has not taken.
    var inFlight: [Int] = []
    /// The newest id by topic and log, and when it was sent.
    var newest: [String: (id: MessageID, tick: Int)] = [:]

    init(serial: Int, windowBytes: Int, histories: TopicPublication.Histories, grant: TopicGrant) {
        self.serial = serial
        self.windowBytes = windowBytes
        self.histories = histories
        self.grant = grant
    }

    func matching(_ topic: String) -> [Filter] { self.filters.filter { plainlyMatches($0.text, topic) } }
    func live(_ topic: String) -> [Filter] { self.filters.filter { $0.endedTick == nil && plainlyMatches($0.text, topic) } }
}

/// Judges a history of topics by what publishers were answered and subscribers were sent and received.
final class TopicOracle {
    private(set) var violations: [Violation] = []
    private(set) var tick = 0
    private(set) var publications: [TopicPublication] = []
    private(set) var sessions: [Int: TopicView] = [:]
    var histories = TopicPublication.Histories()
    var now: Int64 = 0
    let topics: [String]
    let isMemoryLimited: Bool
    let options: (String) -> TopicOptions

    init(topics: [String], isMemoryLimited: Bool, options: @escaping (String) -> TopicOptions) {
        self.topics = topics
        self.isMemoryLimited = isMemoryLimited
        self.options = options
    }

    func broken(_ promise: Promise, _ what: @autoclosure () -> String) {
        if !self.violations.contains(where: { $0.promise == promise }) { self.violations.append(Violation(promise: promise, what: what())) }
    }

    func nextTick() -> Int {
        self.tick += 1
        return self.tick
    }

    // MARK: Publishers

    func submitted(_ publication: TopicPublication) { self.publications.append(publication) }

    /// A message is in its log, with its offset.
    func stored(_ number: Int, _ message: StoredMessage) {
        guard self.publications.indices.contains(number) else { return }
        let publication = self.publications[number]
        if let known = publication.id, known != message.id {
            self.broken(.idempotent, "message \(number) is stored twice: \(known), \(message.id)")
        }
        publication.id = message.id
        publication.offset = message.offset
        publication.storedTick = publication.storedTick ?? self.nextTick()
    }

    func answered(_ publication: TopicPublication, _ outcome: AppendOutcome) {
        switch outcome {
        case .failed: break
        case .conflict: self.broken(.idempotent, "message \(publication.number) was refused as a conflict with itself")
        case .stored(let id, _):
            if let known = publication.id, known != id { self.broken(.idempotent, "message \(publication.number) is \(known), and \(id)") }
            publication.id = id
            publication.answeredTick = publication.answeredTick ?? self.nextTick()
            publication.answeredNow = publication.answeredNow ?? self.now
        }
    }

    // MARK: Sessions

    func opened(_ session: TopicSession, _ client: TopicClient) {
        self.sessions[session.serial] = TopicView(
            serial: session.serial, windowBytes: client.windowBytes, histories: self.histories, grant: client.rights)
    }

    func refused(_ wishes: [SubscribeWish], _ client: TopicClient) {
        guard case .patterns(let patterns) = client.rights.kind else {
            if case .everything = client.rights.kind { self.broken(.atLeastOnce, "\(client.name) may do everything, and was refused") }
            return
        }
        let named = wishes.allSatisfy { wish in
            patterns.contains(wish.filter.text) && self.isOpen(wish.filter)
        }
        if named { self.broken(.atLeastOnce, "\(client.name) was refused what its token names") }
    }

    /// Whether none of the namespaces that a filter may be of is closed.
    private func isOpen(_ filter: TopicFilter) -> Bool {
        let first = filter.text.prefix { $0 != "/" }
        let topics = first == "+" || first == "#" ? self.topics : [filter.text]
        return topics.allSatisfy { self.options($0).subscribe != .none }
    }

    /// A subscription begins.
    ///
    /// - Parameter presented: the cursor that it goes on from.
    func subscribed(_ wish: SubscribeWish, presented: TopicMark?, on session: TopicSession) {
        guard let view = self.sessions[session.serial] else { return }
        var filter = TopicView.Filter(
            text: wish.filter.text, start: wish.start, isResumed: false, sinceTick: self.nextTick(), excused: Set(self.publications.indices),
            delivered: [:])
        if let presented, let origin = self.sessions[presented.session] {
            view.presentedHistories = presented.histories
            if let old = origin.filters.last(where: { $0.text == filter.text }), old.endedTick == nil, old.sinceTick <= presented.tick {
                filter.isResumed = true
                filter.excused = self.accounted(old, origin, upTo: presented.events)
                filter.delivered = old.delivered
                for case .sent(let number) in origin.events.prefix(presented.events) {
                    let matching = origin.matching(self.publications[number].topic)
                    guard matching.contains(where: { $0.text == filter.text }) else { continue }
                    // The cursor does not say what was sent for one that ended, nor all of what was sent before another asked for history.
                    let isSaid =
                        matching.allSatisfy { $0.endedTick == nil }
                        && (matching.count == 1 || !origin.filters.contains(where: \.wantsHistory))
                    if isSaid { filter.delivered[number] = Set(matching.map(\.text)) }
                }
            }
        }
        view.filters.append(filter)
    }

    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason, on session: TopicSession) {
        guard let view = self.sessions[session.serial] else { return }
        let tick = self.nextTick()
        for index in view.filters.indices where view.filters[index].text == filter.text && view.filters[index].endedTick == nil {
            view.filters[index].endedTick = tick
        }
        guard reason == .forbidden else { return }
        let isNamed: Bool =
            switch view.grant.kind {
            case .everything: true
            case .unsaid: false
            case .patterns(let patterns): patterns.contains(filter.text) && self.isOpen(filter)
            }
        if isNamed { self.broken(.atLeastOnce, "the subscription to \(filter.text) was ended, which the token names") }
    }

    func renewed(_ session: TopicSession, _ client: TopicClient) { self.sessions[session.serial]?.grant = client.rights }

    func socketTook(_ session: TopicSession) { self.sessions[session.serial]?.inFlight = [] }

    // MARK: What was sent and told

    /// What a subscription is not owed any more after so many events of its session.
    func accounted(_ filter: TopicView.Filter, _ view: TopicView, upTo count: Int) -> Set<Int> {
        var numbers = filter.excused
        for event in view.events.prefix(count) {
            switch event {
            case .sent(let number): numbers.insert(number)
            case .gap(let gap, let histories, let tick):
                for publication in self.publications
                where self.covers(gap, publication, histories) || self.mayBeGone(publication, gap, view, tick) {
                    numbers.insert(publication.number)
                }
            }
        }
        return numbers
    }

    /// Whether a gap says of a message that it is gone.
    func covers(_ gap: TopicGap, _ publication: TopicPublication, _ histories: TopicPublication.Histories) -> Bool {
        guard plainlyMatches(gap.topic, publication.topic) else { return false }
        switch gap.reason {
        case .epoch: return publication.log.map { publication.history != histories[$0] } ?? false
        case .beyondEnd: return false
        case .slow, .trimmed:
            let isOfThis = gap.reason == .slow ? publication.log == nil && !publication.isStored : publication.log != nil || publication.isStored
            guard isOfThis, let from = gap.from, let to = gap.to, let offset = publication.offset else { return false }
            // The store goes on with its offsets in a new history.
            return from < offset && offset <= to && (publication.isStored || publication.history == histories.memory)
        }
    }

    /// Whether a message came after the history that a cursor was of, and went before the client came back: it goes on with the oldest that is kept.
    private func mayBeGone(_ publication: TopicPublication, _ gap: TopicGap, _ view: TopicView, _ tick: Int) -> Bool {
        guard gap.reason == .epoch, let log = publication.log, plainlyMatches(gap.topic, publication.topic),
            view.presentedHistories?[log] != self.histories[log]
        else { return false }
        return publication.submittedTick < tick && !self.isKeptForSure(publication)
    }

    /// Whether a message must be there still, by what its topic's options promise.
    func isKeptForSure(_ publication: TopicPublication) -> Bool {
        guard let log = publication.log, publication.history == self.histories[log], publication.answeredTick != nil,
            !publication.isExpired(at: self.now), !publication.wasRecallAsked, log == .durable || !self.isMemoryLimited,
            let offset = publication.offset
        else { return false }
        let options = self.options(publication.topic)
        guard self.now - publication.submittedNow < Int64(options.historySeconds) * 1_000 else { return false }
        var count = 0
        var bytes = 0
        for other in self.publications where other.topic == publication.topic && other.log == log && other.history == publication.history {
            guard other.offset.map({ $0 >= offset }) ?? true else { continue }
            count += 1
            bytes += other.weight
        }
        return count <= options.historyMessages && bytes <= options.historyBytes
    }
}

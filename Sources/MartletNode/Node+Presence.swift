package import MartletCore
import NIOCore
import Synchronization

/// Who subscribes to the topics whose presence is kept.
final class PresenceBoard: Sendable {
    private struct State {
        var table = PresenceTable()
        var isScheduled = false
    }

    private let state = Mutex(State())

    /// - Returns: members there are now, and whether the events of the next second are to be scheduled.
    func change(_ change: (inout PresenceTable) -> Int) -> (count: Int, schedule: Bool) {
        self.state.withLock { state in
            let count = change(&state.table)
            let schedule = !state.isScheduled
            state.isScheduled = true
            return (count, schedule)
        }
    }

    func page(of topic: TopicKey, limit: Int, after: PresenceMember?) -> PresencePage {
        self.state.withLock { $0.table.page(of: topic, limit: limit, after: after) }
    }

    /// - Returns: events, and whether there are more, which are to be scheduled.
    func takeEvents(listed: Int, limit: Int) -> (events: [(TopicKey, PresenceEvent)], more: Bool) {
        self.state.withLock { state in
            let events = state.table.takeEvents(listed: listed, limit: limit)
            state.isScheduled = state.table.isChanged
            return (events, state.isScheduled)
        }
    }
}

extension Node {
    /// Time over which comings and goings are put together.
    private static let presenceInterval = TimeAmount.seconds(1)

    /// Notes that a session has subscribed.
    ///
    /// - Returns: members there are now; nil if nobody keeps count.
    func joined(_ session: LiveSession, _ filter: TopicFilter) -> Int? {
        guard !session.isInternal, let topic = self.presenceTopic(filter, session.app) else { return nil }
        let member = PresenceMember(user: session.user, device: session.device)
        return self.changePresence {
            $0.join(topic, member)
            return $0.count(of: topic)
        }
    }

    /// Notes that a session has left.
    func left(_ session: LiveSession, _ filter: TopicFilter) {
        guard !session.isInternal, let topic = self.presenceTopic(filter, session.app, leaves: true) else { return }
        let member = PresenceMember(user: session.user, device: session.device)
        _ = self.changePresence {
            $0.leave(topic, member)
            return 0
        }
    }

    /// - Parameter leaves: whoever is there may leave, though presence was switched off meanwhile.
    private func presenceTopic(_ filter: TopicFilter, _ app: AppID, leaves: Bool = false) -> TopicKey? {
        guard !filter.isWildcard else { return nil }
        let filter = QueueTopic.original(of: filter)
        let topic = TopicKey(app: app, name: filter.text)
        guard self.options(of: topic).presence || (leaves && self.board.page(of: topic, limit: 0, after: nil).count > 0) else { return nil }
        return topic
    }

    private func changePresence(_ change: (inout PresenceTable) -> Int) -> Int {
        let (count, schedule) = self.board.change(change)
        if schedule, let loop = self.shards.first?.loop {
            loop.scheduleTask(in: Self.presenceInterval) { self.sendPresence() }
        }
        return count
    }

    /// Topics whose events go out in one turn of a loop: within the window of one who watches all of them.
    private static let presenceTopics = 250

    private func sendPresence() {
        let (events, more) = self.board.takeEvents(listed: self.limits.presenceListed, limit: Self.presenceTopics)
        if more { self.shards.first?.loop.scheduleTask(in: .milliseconds(50)) { self.sendPresence() } }
        self.wake(self.hub.send(events.map { ($0.0, .presence($0.1, topic: $0.0)) }))
    }

    package func presence(_ topic: TopicKey, limit: Int, after: PresenceMember?) -> PresencePage {
        self.board.page(of: topic, limit: limit, after: after)
    }
}

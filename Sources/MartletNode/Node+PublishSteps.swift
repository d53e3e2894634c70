import MartletCore
import MartletWire
import NIOCore
import Synchronization

/// What publishes that came together ask of the store, in their order.
///
/// Nothing waits for the answer to what was asked before it: what comes next, of the same publisher or another, would overtake it, and an older
/// state of a session would be written over a newer one.
struct PublishSteps {
    /// What becomes of one request once the store has answered.
    enum Then {
        /// Its outcome is the store's.
        case nothing
        /// It goes into the queue of its topic, and from there to who is there.
        case handOn(AppendRequest, TopicKey, TopicOptions)
        /// Its outcome is the store's; what is published to the topic meanwhile goes to the store, too.
        case inLog(TopicKey)
        /// It goes into the queue beside the topic's own log: the request that this belongs to fails if this does.
        case queue
    }

    struct Part {
        var request: AppendRequest
        /// Of the publish.
        var index: Int
        var then: Then
    }

    enum Step {
        case append([Part])
        /// Records that go with what is not stored.
        case save([(save: SessionSave, index: Int)])
    }

    private var closed: [Step] = []
    private var parts: [Part] = []
    private var saves: [(save: SessionSave, index: Int)] = []

    mutating func append(_ request: AppendRequest, _ index: Int, _ then: Then) {
        if !self.saves.isEmpty { self.close() }
        self.parts.append(Part(request: request, index: index, then: then))
    }

    mutating func save(_ save: SessionSave, _ index: Int) {
        if !self.parts.isEmpty { self.close() }
        self.saves.append((save, index))
    }

    private mutating func close() {
        if !self.parts.isEmpty { self.closed.append(.append(self.parts)) }
        if !self.saves.isEmpty { self.closed.append(.save(self.saves)) }
        (self.parts, self.saves) = ([], [])
    }

    mutating func all() -> [Step] {
        self.close()
        return self.closed
    }
}

/// Outcomes of publishes that came together, as far as they are known.
private final class PublishOutcomes: Sendable {
    private struct State {
        var all: [AppendOutcome?]
        /// Answers of the store that are still to come.
        var left: Int
    }

    private let state: Mutex<State>

    init(_ known: [AppendOutcome?], answers: Int) { self.state = Mutex(State(all: known, left: answers)) }

    /// The store has answered once more.
    ///
    /// - Returns: all outcomes, if that was the last answer.
    func settle(_ change: (inout [AppendOutcome?]) -> Void) -> [AppendOutcome]? {
        self.state.withLock { state in
            change(&state.all)
            state.left -= 1
            return state.left == 0 ? state.all.map { $0 ?? .failed(StoreError(.stopped)) } : nil
        }
    }
}

extension Node {
    /// Asks the store, all at once.
    ///
    /// - Parameter known: what is known before it answers.
    func take(_ steps: PublishSteps, _ known: [AppendOutcome?], _ done: @escaping @Sendable ([AppendOutcome]) -> Void) {
        var steps = steps
        let all = steps.all()
        guard !all.isEmpty else { return done(known.compactMap { $0 }) }
        let outcomes = PublishOutcomes(known, answers: all.count)
        for step in all {
            switch step {
            case .save(let saves):
                self.store.save(saves.map(\.save)) { error in
                    let all = outcomes.settle { all in
                        if let error { for (_, index) in saves { all[index] = .failed(error) } }
                    }
                    if let all { done(all) }
                }
            case .append(let parts):
                let plan = parts.map { (index: $0.index, then: $0.then) }
                let home = plan.contains { if case .handOn = $0.then { true } else { false } } ? self.shards.first?.loop : nil
                self.store.append(parts.map(\.request)) { result in
                    // Handing on takes time that the store's writer should not spend. One loop, so that it keeps the order of the commits.
                    guard let home, !home.inEventLoop else { return self.stored(plan, result, outcomes, done) }
                    home.execute { self.stored(plan, result, outcomes, done) }
                }
            }
        }
    }

    private func stored(
        _ plan: [(index: Int, then: PublishSteps.Then)], _ result: [AppendOutcome], _ outcomes: PublishOutcomes,
        _ done: @escaping @Sendable ([AppendOutcome]) -> Void
    ) {
        let all = outcomes.settle { outcomes in
            for (part, outcome) in zip(plan, result) {
                switch part.then {
                case .nothing: outcomes[part.index] = outcome
                case .inLog(let key):
                    outcomes[part.index] = outcome
                    self.inLog.remove(key)
                case .queue:
                    if case .failed = outcome {
                        outcomes[part.index] = outcome
                    } else if case .stored(let copy, repeated: false) = outcome, case .stored(let id, repeated: false) = outcomes[part.index] {
                        self.copies.add(copy, of: id)
                    }
                case .handOn(let request, let key, let options):
                    outcomes[part.index] = outcome
                    if case .stored(let id, repeated: false) = outcome { self.handOn(request, key, options, id) }
                    self.inStore.remove(key)
                }
            }
        }
        if let all { done(all) }
    }
}

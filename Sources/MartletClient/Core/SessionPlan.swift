/// What a session is opened with.
package struct SessionPlan: Sendable, Equatable {
    /// Numbers the tries of a client; what comes of an earlier one is not listened to.
    package var attempt: Int
    /// Which of the transports.
    package var transport: Int
    package var token: String?
    package var user: String?
    package var device: String?
    package var cursor: String?
    package var topics: [String] = []
    package var since: Since?
    package var presence = false
    package var fromNow = false
    /// Seconds.
    package var heartbeat: Double = 25
    package var window: Int?
    /// Messages are acked by their numbers; not where there is no device.
    package var acks = true
    package init(attempt: Int, transport: Int) {
        self.attempt = attempt
        self.transport = transport
    }
}

extension ClientMachine {
    mutating func translate(_ action: Link.Action, _ now: Int64) {
        switch action {
        case .open(let attempt, let transport): self.actions.append(.open(self.plan(attempt, transport)))
        case .end(let attempt):
            self.isReady = false
            self.actions.append(.end(attempt))
        case .askToken: self.actions.append(.askToken)
        case .renew(let token): self.actions.append(.send(.renew(token: token)))
        case .heartbeat: if self.isReady { self.actions.append(.send(.heartbeat)) }
        case .probe(let transport): self.actions.append(.probe(transport: transport))
        case .connecting: self.actions.append(.connecting)
        case .waiting(let milliseconds, let error): self.actions.append(.waiting(milliseconds: milliseconds, error))
        case .stopped(let error):
            self.isReady = false
            self.actions.append(.stopped(error))
        case .problem(let error): self.actions.append(.problem(error))
        case .forgetCursor: self.deliveries.forgetCursor()
        case .doubtTopics: self.isDoubted = true
        case .learnt: self.actions.append(.save)
        }
    }

    /// The one that the token is for, or else the one that was given.
    var device: String? {
        if let device = self.link.token.flatMap({ TokenClaims.device($0) }) { return device }
        return switch self.identity.device {
        case .named(let name): name
        case .automatic: self.ownDevice
        case .none: nil
        }
    }

    private mutating func plan(_ attempt: Int, _ transport: Int) -> SessionPlan {
        var plan = SessionPlan(attempt: attempt, transport: transport)
        plan.token = self.link.token
        plan.device = self.device
        plan.acks = plan.device != nil
        plan.user = self.identity.user
        plan.cursor = self.deliveries.cursor
        let subscribes = self.transports[transport].subscribes || plan.device != nil
        let named = self.topics.forAddress(all: !subscribes, none: self.isDoubted)
        (plan.topics, plan.since, plan.presence) = (named.topics, named.since, named.presence)
        plan.fromNow = self.identity.fromNow
        plan.heartbeat = self.link.wish
        plan.window = self.identity.window
        return plan
    }
}

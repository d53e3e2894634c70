/// What a client says of a session that outlives its connections, and acks messages of topics one by one (MQTT).
///
/// Other transports have none: there the client keeps its place, as a cursor.
package struct SessionTerms: Sendable {
    /// Whether it begins anew: what was kept is dropped.
    package var isClean: Bool
    /// How long the session is kept after its connection, in seconds; 0: it ends with the connection.
    package var expirySeconds: Int
    /// What is published for the client if it goes without a word.
    package var will: Will?
    /// Messages of topics that may be sent and not yet acked.
    package var windowMessages: Int

    package init(isClean: Bool, expirySeconds: Int, will: Will? = nil, windowMessages: Int) {
        self.isClean = isClean
        self.expirySeconds = expirySeconds
        self.will = will
        self.windowMessages = windowMessages
    }
}

/// What is published for a client whose connection ended without a word (MQTT 5.0 §3.1.2.5).
package struct Will: Sendable {
    /// A message of a topic, checked: its client has the right to publish it.
    package var request: AppendRequest
    /// Pause before it is published, in seconds; it is not if the client is back by then. The end of the session ends the pause.
    package var delaySeconds: Int

    package init(request: AppendRequest, delaySeconds: Int) {
        self.request = request
        self.delaySeconds = delaySeconds
    }
}

/// What became of a session that was asked for with ``SessionTerms``.
package struct SessionStanding: Equatable, Sendable {
    /// Whether it goes on with what was kept.
    package var isResumed: Bool
    /// What was granted, in seconds.
    package var expirySeconds: Int
    /// Whether messages of the inbox are acked, if that goes on with it.
    package var acksInbox: Bool?

    package init(isResumed: Bool, expirySeconds: Int, acksInbox: Bool? = nil) {
        self.isResumed = isResumed
        self.expirySeconds = expirySeconds
        self.acksInbox = acksInbox
    }
}

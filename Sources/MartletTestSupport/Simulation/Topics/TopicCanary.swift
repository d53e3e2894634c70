/// One broken rule of topics each, as ``Canary`` is for inboxes.
package enum TopicCanary: String, CaseIterable, Sendable {
    /// Gaps are not passed on to clients.
    case dropsGaps
    /// The memory log does not say what it trimmed.
    case trimsSilently
    /// The store does not say what it trimmed.
    case storeTrimsSilently
    /// Every gap begins after the last message and ends too early.
    case tellsHalfOfAGap
    /// Less is kept than was promised.
    case keepsHalf
    /// The memory log of a new start has the name of the one before.
    case keepsTheEpoch
    /// Cursors given with history are of the end of the read.
    case cursorRunsAhead
    /// Cursors do not list what was read less far.
    case forgetsWhoIsBehind
    /// A welcome's cursor is past what the gaps after it tell of.
    case welcomesPastTheGaps
    /// The cursor of a gap is past those that are told after it.
    case passesGapsTooEarly
    /// A subscriber is entered after the end of the log was asked for.
    case entersLate
    /// Nobody reads on after a slow socket took what it had.
    case forgetsToReadOn
    /// What was published to a topic without history while a socket was slow is lost without a word.
    case losesWhatIsSlow
    /// Messages of one read go out backwards.
    case swapsOrder
    /// A wildcard gets the topics of its neighbours.
    case matchesTooMuch
    /// A wildcard does not match its own first level.
    case matchesTooLittle
    /// A renewed token changes nothing for what runs.
    case keepsWithdrawnRights
    /// A renewed token ends everything.
    case endsTooMuch
    /// The check of rights looks at nothing.
    case allowsEverything
    /// The clock for expiry is behind.
    case clockIsBehind
    case ignoresRecall
    case stripsIdempotencyKeys
    case widensTheWindow
    /// Those who come later get no retained values.
    case forgetsRetained
    /// A retained value stays though it was replaced.
    case keepsTheFirstRetained
    /// `last:N` gives everything.
    case readsFromTheBeginning
    /// What a cursor has passed comes again.
    case rewindsCursors
    /// What was sent for one filter is sent for another that matches it, too.
    case readsFiltersApart
    /// Cursors do not say what was sent for filters that overlap.
    case forgetsWhatOthersKnow

    /// The promise whose check must catch it.
    package var promise: Promise {
        switch self {
        case .dropsGaps, .trimsSilently, .storeTrimsSilently, .tellsHalfOfAGap, .keepsHalf, .keepsTheEpoch, .cursorRunsAhead,
            .forgetsWhoIsBehind, .welcomesPastTheGaps, .passesGapsTooEarly, .entersLate, .losesWhatIsSlow:
            .noSilentGap
        case .forgetsToReadOn, .matchesTooLittle, .endsTooMuch, .forgetsRetained, .keepsTheFirstRetained: .atLeastOnce
        case .rewindsCursors, .readsFiltersApart, .forgetsWhatOthersKnow: .ackedIsDone
        case .swapsOrder: .order
        case .matchesTooMuch, .keepsWithdrawnRights, .allowsEverything: .isolated
        case .clockIsBehind: .ttl
        case .ignoresRecall: .collapseAndRecall
        case .stripsIdempotencyKeys: .idempotent
        case .widensTheWindow, .readsFromTheBeginning: .bounded
        }
    }
}

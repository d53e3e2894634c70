/// One broken rule each: a check that does not notice it is worth nothing. Broken at the seams, never inside the core.
package enum Canary: String, CaseIterable, Sendable {
    /// The last group of a commit is lost at a crash.
    case answersBeforeTheDiskHasIt
    /// A restart forgets the newest undelivered message of an inbox.
    case losesAMessageAtRestart
    /// A hub that does not read on after an ack.
    case forgetsToReadOn
    /// Positions are not recorded.
    case ignoresRecordedAcks
    /// Repeats look like new ones.
    case stripsRedelivered
    /// Everything looks like a repeat.
    case marksEverythingRedelivered
    /// Two messages of one read change places.
    case swapsOrder
    /// The least urgent of a read goes first.
    case sendsLowBeforeHigh
    /// The clock for expiry is behind.
    case clockIsBehind
    case ignoresCollapse
    case ignoresRecall
    case stripsIdempotencyKeys
    case doublesTheWindow
    /// Reads of alice find bob's inbox.
    case readsAnothersInbox
    /// Nobody is sent anything while a socket is slow.
    case waitsForTheSlowest
    case dropsGapNotices

    /// The promise whose check must catch it.
    package var promise: Promise {
        switch self {
        case .answersBeforeTheDiskHasIt: .durable
        case .losesAMessageAtRestart, .forgetsToReadOn: .atLeastOnce
        case .ignoresRecordedAcks, .stripsRedelivered, .marksEverythingRedelivered: .ackedIsDone
        case .swapsOrder: .order
        case .sendsLowBeforeHigh: .priority
        case .clockIsBehind: .ttl
        case .ignoresCollapse, .ignoresRecall: .collapseAndRecall
        case .stripsIdempotencyKeys: .idempotent
        case .doublesTheWindow: .bounded
        case .readsAnothersInbox, .waitsForTheSlowest: .isolated
        case .dropsGapNotices: .noSilentGap
        }
    }
}

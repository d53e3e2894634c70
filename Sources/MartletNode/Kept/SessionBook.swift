import MartletCore

/// What a session with ``SessionTerms`` has beside what all have. Confined to its shard's event loop.
final class SessionBook {
    /// What is done once the session's state is stored.
    enum Held {
        case message(TopicDelivery, DeliveryTicket)
        case release(UInt16)
        case call(() -> Void)
    }

    /// A message under way that a group handed out.
    struct Shared: Sendable {
        let group: ShareGroup
        let hand: ShareDealer.Hand
    }

    /// A group that handed out what there was no room for, or that had its turn while others waited.
    struct Constrained {
        let group: ShareGroup
        /// What it was: whether it is to be acked, and its weight.
        let isAcked: Bool
        let weight: Int
        /// Nothing more comes from it until it is told that there is room.
        var isStopped = false
        /// The room that it was told of since; nil while it waits for some.
        var told: Int?
    }

    let key: DeviceKey
    let user: String?
    /// Tells this connection from earlier ones of the session.
    let holder: UInt64
    /// ``MessageMarks/origin(of:)`` of what its client publishes.
    let origin: UInt32
    private let window: Int
    /// Messages of its inbox that may be under way, while it is open and acked.
    let inboxWindow: Int
    var keepsRoomForInbox = false
    /// The inbox opens when enough of what is under way is acked.
    var inboxWaits = false
    /// Whether it has a record: it is kept after its connection, or goes on with what was kept.
    private(set) var isKept: Bool
    var expirySeconds: Int
    var will: Will?
    var inbox: KeptSession.Inbox?
    /// As the client asked for them; their positions are in the reader.
    var subscriptions: [KeptSession.Subscription] = []
    var flights = Flights()
    /// Retained values under way, by number.
    var retainedNumbers: [UInt16: KeptSession.ValueInFlight] = [:]
    /// Names the history that the offsets of those to be sent ``again`` are of, of values in memory.
    var memoryEpoch: UInt32 = 0
    /// Messages under way that a group handed out, by number; and what they take.
    var shared: [UInt16: Shared] = [:]
    var sharedBytes = 0
    /// Numbers of the client's publishes that it has not released.
    var received: Set<UInt16> = []
    /// What is to be sent again, before anything new.
    var again: ArraySlice<Flights.Flight> = []
    var isReadingAgain = false
    var held: [Held] = []
    var isSaving = false
    /// Grows with each change of the settings; and what of it the store has confirmed. Until it has all of them, each state goes with
    /// them: positions are by the order of the subscriptions.
    private(set) var settingsRevision = 0
    private var storedRevision = 0
    /// In the shard's list of those whose state is to be stored.
    var isDirty = false
    /// It is among the node's kept sessions, and what was there before; until it has begun.
    var entered: KeptSessions.Begun?
    /// It stands, and is not over.
    var isBegun = false
    /// Called once the store has the end, or cannot have it now.
    var whenEnded: @Sendable () -> Void = {}
    /// Groups that may hand out less than there is room for; and those of them that wait for some, by turns.
    var constrained: [ObjectIdentifier: Constrained] = [:]
    var waitingGroups: [ObjectIdentifier] = []

    /// - Parameter windowMost: messages that may be under way at most.
    init(_ key: DeviceKey, user: String?, terms: SessionTerms, holder: UInt64, windowMost: Int) {
        self.key = key
        self.user = user
        self.holder = holder
        self.origin = MessageMarks.origin(of: key.name)
        self.window = min(max(1, terms.windowMessages), windowMost, Flights.most)
        self.inboxWindow = max(1, min(64, self.window / 4))
        self.expirySeconds = terms.expirySeconds
        self.isKept = terms.expirySeconds > 0
        self.will = terms.will
    }

    /// Messages of topics that may be under way.
    var windowMessages: Int { max(1, self.keepsRoomForInbox ? self.window - self.inboxWindow : self.window) }

    /// It goes on with what was kept, though perhaps only for this connection.
    func goesOn() { self.isKept = true }

    /// The subscription that stands for a filter of the client's: a queue's if messages wait for it.
    func actual(_ subscription: KeptSession.Subscription) -> TopicFilter {
        self.isKept && subscription.isQueued ? QueueTopic.filter(of: subscription.filter) : subscription.filter
    }

    /// Whether what is published while the connection is slow is held in memory for a subscription, as nothing else may hold it.
    func isRinged(_ filter: TopicFilter, _ options: SubscribeOptions) -> Bool {
        options.share == nil && options.qos > 0 && !(self.isKept && QueueTopic.hasQueue(filter))
    }

    func index(of filter: TopicFilter, share: String?) -> Int? {
        self.subscriptions.firstIndex { $0.filter == filter && isSameName($0.options.share, share) }
    }

    /// Whether more than the state is to be stored.
    var areSettingsNew: Bool { self.settingsRevision > self.storedRevision }

    func settingsChanged() { self.settingsRevision += 1 }

    /// The store has the settings as of a revision.
    func settingsStored(_ revision: Int) { self.storedRevision = max(revision, self.storedRevision) }

    /// The change of its record to a state.
    func save(_ record: KeptSession) -> SessionSave {
        SessionSave(key: self.key, change: .set(settings: self.areSettingsNew ? record.settings : nil, state: record.state))
    }

    /// Whether something is read for its client that comes before anything new.
    var isCatchingUp: Bool { !self.again.isEmpty }
}

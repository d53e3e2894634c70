/// A queue that can be read at any place: it grows at the end and shrinks at the front.
struct TopicQueue<Element> {
    // What was taken from the front is nil, so that nothing is held; moved together once it is more than half.
    private var items: [Element?] = []
    private var head = 0

    var count: Int { self.items.count - self.head }
    var isEmpty: Bool { self.items.count == self.head }
    var first: Element? { self.isEmpty ? nil : self.items[self.head] }
    var last: Element? { self.items.last ?? nil }

    /// The element at a place counted from the front; nil beyond the end.
    subscript(index: Int) -> Element? { index < self.count ? self.items[self.head + index] : nil }

    mutating func append(_ element: Element) { self.items.append(element) }

    mutating func popFirst() -> Element? {
        guard let first = self.first else { return nil }
        self.items[self.head] = nil
        self.head += 1
        if self.isEmpty {
            self.items.removeAll(keepingCapacity: self.items.capacity <= 64)
            self.head = 0
        } else if self.head >= 32, self.head > self.items.count / 2 {
            self.items.removeFirst(self.head)
            self.head = 0
        }
        return first
    }

    mutating func replace(at index: Int, with element: Element) {
        if index < self.count { self.items[self.head + index] = element }
    }

    mutating func remove(at index: Int) {
        if index < self.count { self.items.remove(at: self.head + index) }
    }

    /// Keeps, in their order, those that are wanted, and gives back what room the others took.
    mutating func keep(where isWanted: (Element) -> Bool) {
        var kept: [Element?] = []
        for index in 0..<self.count {
            if let element = self[index], isWanted(element) { kept.append(element) }
        }
        self.items = kept
        self.head = 0
    }

    /// The first place whose element is beyond something; all that follow must be, too.
    func firstIndex(where isBeyond: (Element) -> Bool) -> Int {
        var low = 0
        var high = self.count
        while low < high {
            let middle = (low + high) / 2
            if let element = self[middle], isBeyond(element) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

/// What is kept of one topic.
struct TopicRing {
    struct Item {
        var message: StoredMessage
        /// By the server's clock, in milliseconds.
        var storedAt: Int64
    }

    var key: TopicKey
    /// What its newest append said.
    var keep = TopicAppend.Keep()
    /// By offset.
    var items = TopicQueue<Item>()
    /// Of the messages in ``items``.
    var bytes = 0
    var retained: StoredMessage?
    /// Offset of the newest message that its limits took; 0 if they took none.
    var trimmedUpTo: UInt64 = 0
    /// What was forgotten of all topics when this one began: up to there nobody knows what it lost.
    var unknownUpTo: UInt64 = 0
    /// Its place in the list of its namespace.
    var memberIndex = 0
    /// Names its entry among those that are empty; 0 if it is not.
    var emptyStamp: UInt64 = 0
    var isFree = false

    init(key: TopicKey) { self.key = key }

    var hasContent: Bool { !self.items.isEmpty || self.retained != nil }

    func firstIndex(after offset: UInt64) -> Int { self.items.firstIndex { $0.message.offset > offset } }

    /// Where a message stands; nil if it is not here.
    func index(of offset: UInt64) -> Int? {
        let index = self.items.firstIndex { $0.message.offset >= offset }
        return self.items[index]?.message.offset == offset ? index : nil
    }

    /// When a message is too old, by the server's clock.
    func tooOldAt(_ item: Item) -> Int64 { item.storedAt + Int64(min(max(0, self.keep.seconds), 1 << 40)) * 1_000 }

    func isTooOld(_ item: Item, now: Int64) -> Bool { self.tooOldAt(item) <= now }

    /// Why the oldest message has to go; nil if it may stay.
    func reasonToTrim(now: Int64) -> TopicEvictions.Reason? {
        guard let first = self.items.first else { return nil }
        if self.items.count > self.keep.messages { return .messages }
        if self.bytes > self.keep.bytes { return .bytes }
        return self.isTooOld(first, now: now) ? .age : nil
    }
}

import MartletCore

/// Goes over the places of one lane in order: first those in the index on disk, then those in memory.
struct LaneCursor {
    struct Place {
        var message: StoredMessage
        var recalled: Bool
        var offset: UInt64 { self.message.offset }
    }

    let lane: Lane
    let inbox: Int64
    private let reader: Reader
    private let row: Statement
    private var onDisk = true
    private var inMemory: ArraySlice<StoredMessage>
    private let memoryHasMore: Bool
    private let recalled: Set<UInt64>
    private(set) var next: Place?
    /// Whether there is more than this cursor can see.
    var isCutOff: Bool { self.next == nil && self.memoryHasMore }

    init(
        _ lane: Lane, inbox: Int64, after: UInt64, reader: Reader, indexed: UInt64, inMemory: ArraySlice<StoredMessage>,
        memoryHasMore: Bool, recalled: Set<UInt64>
    ) throws {
        self.lane = lane
        self.inbox = inbox
        self.reader = reader
        self.inMemory = inMemory
        self.memoryHasMore = memoryHasMore
        self.recalled = recalled
        self.row = reader.places[Int(lane.scope.rawValue)]
        self.row.reset()
        if after < indexed {
            self.row.bind(1, inbox)
            self.row.bind(2, Int64(lane.priority.rawValue))
            self.row.bind(3, after)
            self.row.bind(4, indexed)
        } else {
            self.onDisk = false
        }
        try self.advance()
    }

    /// Goes on to the next place.
    mutating func advance() throws {
        if self.onDisk {
            if try self.row.step() {
                self.next = Place(
                    message: self.reader.message(self.row, self.lane.priority),
                    recalled: self.row.integer(3) & MessageFlag.recalled != 0)
                return
            }
            self.onDisk = false
            self.row.reset()
        }
        self.next = self.inMemory.popFirst().map { Place(message: $0, recalled: self.recalled.contains($0.offset)) }
    }
}

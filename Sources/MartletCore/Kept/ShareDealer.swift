/// Deals out what is published to a shared subscription (MQTT 5.0 §4.8.2): each message to one member that has room, in turn, oldest first.
///
/// A member that does not ack, or does not read, keeps what it was dealt, at most ``windowBytes`` and one message more; the others go on. What
/// it leaves goes to another. While there are messages that nobody has room for, nothing more is to be offered.
package struct ShareDealer {
    /// A message for a member.
    package struct Hand: Sendable {
        package let member: UInt64
        package let ticket: UInt64
        package let message: StoredMessage
    }

    private struct Member {
        let id: UInt64
        var qos: UInt8
        /// Messages that it may be dealt now and has to ack, as far as is known here.
        var room: Int
        /// What it has.
        var tickets: Set<UInt64> = []
        var bytes = 0
        /// It was dealt something that it had no room for: nothing more, until it says that it has.
        var isStopped = false
    }

    private struct Flight {
        let message: StoredMessage
        let bytes: Int
        /// nil while nobody has room for it.
        var member: UInt64?
        /// Whether the member acks it.
        var isAcked = false
        /// Whether it is in the queue of its topic.
        let isQueued: Bool
    }

    /// What is to be acked, if the member acks, and what is not: one does not wait for the other.
    private enum Line: Int, CaseIterable {
        case acked
        case plain

        init(_ message: StoredMessage) { self = message.marks.qos > 0 ? .acked : .plain }
    }

    private let windowBytes: Int
    private var members: [Member] = []
    private var places: [UInt64: Int] = [:]
    private var next = 0
    private var flights: [UInt64: Flight] = [:]
    private var lastTicket: UInt64 = 0
    /// Tickets that wait for a member with room, newest first; and those that are not in their places there yet. By line.
    private var waiting: [[UInt64]] = [[], []]
    private var fresh: [[UInt64]] = [[], []]
    /// Members with room for a message; by line.
    private var able = [0, 0]

    /// - Parameter windowBytes: what a member may have at once.
    package init(windowBytes: Int) { self.windowBytes = windowBytes }

    /// Whether more may be offered.
    package var isReady: Bool { self.waiting.allSatisfy(\.isEmpty) && self.fresh.allSatisfy(\.isEmpty) }

    package var isEmpty: Bool { self.members.isEmpty }

    package var ids: [UInt64] { self.members.map(\.id) }

    /// The offsets of those from queues that nobody has acked, ascending.
    package var unacked: [UInt64] { self.flights.values.lazy.filter(\.isQueued).map(\.message.offset).sorted() }

    // MARK: Members

    /// - Parameter room: messages that it may be dealt and has to ack.
    package mutating func join(_ id: UInt64, qos: UInt8, room: Int) {
        guard let place = self.places[id] else {
            self.places[id] = self.members.count
            self.members.append(Member(id: id, qos: qos, room: room, isStopped: true))
            return self.change(self.members.count - 1) { $0.isStopped = false }
        }
        self.change(place) {
            $0.qos = qos
            $0.room = max(room, $0.room)
        }
    }

    /// What it has not acked waits for another.
    package mutating func leave(_ id: UInt64) {
        guard let place = self.places.removeValue(forKey: id) else { return }
        // Whoever cannot take anything is not counted.
        self.change(place) { $0.isStopped = true }
        let member = self.members.remove(at: place)
        for index in place..<self.members.count { self.places[self.members[index].id] = index }
        if self.next > place { self.next -= 1 }
        for ticket in member.tickets { self.wait(ticket) }
    }

    /// A member that was stopped, or has more room than before, may be dealt more.
    package mutating func hasRoom(_ id: UInt64, _ room: Int) {
        guard let place = self.places[id] else { return }
        self.change(place) {
            $0.isStopped = false
            $0.room = max(room, $0.room)
        }
    }

    // MARK: Messages

    /// - Parameters:
    ///   - bytes: what it takes of a window.
    ///   - isQueued: whether it is in the queue of its topic.
    package mutating func offer(_ message: StoredMessage, bytes: Int, isQueued: Bool) {
        self.lastTicket += 1
        self.flights[self.lastTicket] = Flight(message: message, bytes: bytes, member: nil, isQueued: isQueued)
        self.wait(self.lastTicket)
    }

    /// A member is done with a message.
    ///
    /// - Parameter givesRoom: whether it has room for one more then.
    /// - Returns: false if it is another's by now.
    package mutating func landed(_ ticket: UInt64, _ member: UInt64, givesRoom: Bool = true) -> Bool {
        guard let flight = self.flights[ticket], flight.member == member else { return false }
        self.flights[ticket] = nil
        if let place = self.places[member] {
            self.change(place) {
                $0.tickets.remove(ticket)
                $0.bytes -= flight.bytes
                if flight.isAcked, givesRoom { $0.room += 1 }
            }
            // Where something waits, nobody else had room.
            if !self.isReady { self.next = place }
        }
        return true
    }

    /// A member has no room for a message.
    ///
    /// - Returns: whether it is to be told that nothing more comes until it says so.
    package mutating func returned(_ ticket: UInt64, _ member: UInt64) -> Bool {
        guard let flight = self.flights[ticket], flight.member == member else { return false }
        self.wait(ticket)
        guard let place = self.places[member] else { return false }
        let wasStopped = self.members[place].isStopped
        self.change(place) {
            $0.tickets.remove(ticket)
            $0.bytes -= flight.bytes
            $0.room = 0
            $0.isStopped = true
        }
        return !wasStopped
    }

    /// What members have room for.
    ///
    /// - Parameters:
    ///   - now: on the clock by which messages expire.
    ///   - isDropped: set if some have expired.
    package mutating func deal(now: Int64, isDropped: inout Bool) -> [Hand] {
        var hands: [Hand] = []
        for line in Line.allCases where self.able[line.rawValue] > 0 {
            self.putInPlace(line)
            while let ticket = self.waiting[line.rawValue].last, let message = self.flights[ticket]?.message {
                if message.isExpired(at: now), !message.liveOnly {
                    self.waiting[line.rawValue].removeLast()
                    self.flights[ticket] = nil
                    isDropped = true
                    continue
                }
                guard let place = self.takeNext(line) else { break }
                self.waiting[line.rawValue].removeLast()
                let bytes = self.flights[ticket]?.bytes ?? 0
                let isAcked = min(self.members[place].qos, message.marks.qos) > 0
                self.flights[ticket]?.member = self.members[place].id
                self.flights[ticket]?.isAcked = isAcked
                self.change(place) {
                    $0.tickets.insert(ticket)
                    $0.bytes += bytes
                    if isAcked { $0.room -= 1 }
                }
                hands.append(Hand(member: self.members[place].id, ticket: ticket, message: message))
            }
        }
        return hands
    }

    // MARK: Who is next

    private func canTake(_ line: Line, _ place: Int) -> Bool {
        guard !self.members[place].isStopped, self.members[place].bytes < self.windowBytes else { return false }
        return line == .plain || self.members[place].qos == 0 || self.members[place].room > 0
    }

    private mutating func takeNext(_ line: Line) -> Int? {
        guard self.able[line.rawValue] > 0 else { return nil }
        for step in 0..<self.members.count {
            let place = (self.next + step) % self.members.count
            guard self.canTake(line, place) else { continue }
            self.next = place + 1
            return place
        }
        return nil
    }

    private mutating func change(_ place: Int, _ body: (inout Member) -> Void) {
        let before = (acked: self.canTake(.acked, place), plain: self.canTake(.plain, place))
        body(&self.members[place])
        self.count(.acked, before.acked, place)
        self.count(.plain, before.plain, place)
    }

    private mutating func count(_ line: Line, _ before: Bool, _ place: Int) {
        let now = self.canTake(line, place)
        if now != before { self.able[line.rawValue] += now ? 1 : -1 }
    }

    private mutating func wait(_ ticket: UInt64) {
        guard let message = self.flights[ticket]?.message else { return }
        self.flights[ticket]?.member = nil
        self.fresh[Line(message).rawValue].append(ticket)
    }

    /// Not with each: very many members may leave at once, and nobody have room for what they leave.
    private mutating func putInPlace(_ line: Line) {
        guard !self.fresh[line.rawValue].isEmpty else { return }
        self.waiting[line.rawValue] += self.fresh[line.rawValue]
        self.fresh[line.rawValue] = []
        self.waiting[line.rawValue].sort(by: >)
    }
}

/// Sessions as bytes, for a store: what seldom changes apart from what changes with each message.
///
/// **Shape.** A version (1 byte, 1), then numbers as ``Varint`` and texts as their length and UTF-8.
extension KeptSession {
    private static let version: UInt8 = 1

    /// What the client asked for.
    package var settings: [UInt8] {
        var output = RecordWriter(Self.version)
        output.append(self.user)
        output.append(UInt64(self.expirySeconds))
        output.append(UInt64(self.inbox.map { $0.windowMessages * 2 + ($0.acks ? 1 : 0) + 2 } ?? 0))
        output.append(UInt64(self.subscriptions.count))
        for subscription in self.subscriptions {
            let options = subscription.options
            output.append(subscription.filter.text)
            output.append(
                UInt64(options.qos) | (options.noLocal ? 4 : 0) | (options.retainAsPublished ? 8 : 0)
                    | UInt64(options.retainHandling.rawValue) << 4)
            output.append(UInt64(options.identifier))
            output.append(options.share)
        }
        output.append(self.will == nil ? 0 : 1)
        if let will = self.will {
            output.append(UInt64(will.delaySeconds))
            output.append(will.request.topic?.name ?? "")
            output.append(will.request.topic?.retain == .set ? 1 : will.request.topic?.retain == .clear ? 2 : 0)
            output.append(UInt64(will.request.ttl))
            output.append(will.request.marks.rawValue)
            output.append(will.request.members)
        }
        return output.bytes
    }

    /// How far it has come. Positions are by the order of the subscriptions.
    package var state: [UInt8] {
        var output = RecordWriter(Self.version)
        output.append(self.endedAt.map { UInt64(min(max(0, $0), Self.latest - 1)) + 1 } ?? 0)
        output.append(UInt64(self.subscriptions.count))
        for subscription in self.subscriptions { output.append(subscription.position) }
        output.append(UInt64(self.flights.last))
        output.append(UInt64(self.flights.count))
        for flight in self.flights.all {
            output.append(UInt64(flight.number))
            output.append(UInt64(flight.step.rawValue) | (flight.isApart ? 4 : 0) | UInt64(flight.log.rawValue) << 3)
            output.append(flight.offset)
        }
        output.append(UInt64(self.retainedAgain.count))
        for topic in self.retainedAgain { output.append(topic) }
        output.append(UInt64(self.received.count))
        for number in self.received { output.append(UInt64(number)) }
        let ranges = self.subscriptions.enumerated().filter { $0.element.from < $0.element.position }
        output.append(UInt64(ranges.count))
        for (index, subscription) in ranges {
            output.append(UInt64(index))
            output.append(subscription.position - subscription.from)
        }
        output.append(UInt64(self.ended.count))
        for range in self.ended {
            output.append(range.filter.text)
            output.append(range.from)
            output.append(range.position)
        }
        let values = self.flights.all.filter { $0.isApart && $0.step != .released && self.retainedNumbers[$0.number] != nil }
        guard !values.isEmpty else { return output.bytes }
        output.append(UInt64(self.memoryEpoch))
        output.append(UInt64(values.count))
        for flight in values {
            output.append(UInt64(flight.number))
            output.append(self.retainedNumbers[flight.number]?.topic ?? "")
            output.append(self.retainedNumbers[flight.number]?.filter ?? "")
        }
        return output.bytes
    }

    /// Reads a record.
    ///
    /// - Returns: nil if it is not one that was written by this version or an older one.
    package init?(_ row: SessionRow) {
        self.init(key: row.key, user: nil, expirySeconds: 0)
        var settings = RecordReader(row.settings)
        guard settings.byte() == Self.version, self.read(&settings) else { return nil }
        guard !row.state.isEmpty else { return }
        var state = RecordReader(row.state)
        guard state.byte() == Self.version, self.readState(&state) else { return nil }
    }

    private mutating func read(_ input: inout RecordReader) -> Bool {
        guard let user = input.optionalText(), let expiry = input.number(), let inbox = input.number(), let count = input.number() else {
            return false
        }
        self.user = user
        self.expirySeconds = Self.bounded(expiry)
        if inbox >= 2 { self.inbox = Inbox(windowMessages: Self.bounded((inbox - 2) / 2), acks: inbox & 1 == 1) }
        for _ in 0..<count {
            guard let text = input.text(), let bits = input.number(), let identifier = input.number(), let share = input.optionalText(),
                let filter = try? TopicFilter(parsing: text, limits: Self.anyTopic)
            else { return false }
            var options = SubscribeOptions(qos: UInt8(truncatingIfNeeded: bits & 3))
            options.noLocal = bits & 4 != 0
            options.retainAsPublished = bits & 8 != 0
            options.retainHandling = .init(rawValue: UInt8(truncatingIfNeeded: bits >> 4 & 3)) ?? .always
            options.identifier = UInt32(clamping: identifier)
            options.share = share
            self.subscriptions.append(Subscription(filter: filter, options: options))
        }
        guard let hasWill = input.number() else { return false }
        guard hasWill == 1 else { return true }
        guard let delay = input.number(), let topic = input.text(), let retain = input.number(), let ttl = input.number(),
            let marks = input.number(), let members = input.bytes()
        else { return false }
        var request = AppendRequest(
            app: self.key.app, targets: [], ttl: Self.bounded(ttl),
            topic: TopicAppend(name: topic, retain: retain == 1 ? .set : retain == 2 ? .clear : .leave), members: members)
        request.marks = MessageMarks(rawValue: marks)
        self.will = Will(request: request, delaySeconds: Self.bounded(delay))
        return true
    }

    private mutating func readState(_ input: inout RecordReader) -> Bool {
        guard let endedAt = input.number(), let positions = input.number() else { return false }
        guard endedAt <= UInt64(Self.latest) else { return false }
        self.endedAt = endedAt == 0 ? nil : Int64(endedAt - 1)
        for index in 0..<positions {
            guard let position = input.number() else { return false }
            guard index < UInt64(self.subscriptions.count) else { continue }
            self.subscriptions[Int(index)].position = position
            self.subscriptions[Int(index)].from = position
        }
        guard let last = input.number(), let count = input.number() else { return false }
        var flights: [Flights.Flight] = []
        var numbers: Set<UInt64> = []
        for _ in 0..<count {
            guard let number = input.number(), let bits = input.number(), let offset = input.number(),
                let step = Flights.Step(rawValue: UInt8(truncatingIfNeeded: bits & 3)), let log = TopicLogKind(rawValue: UInt8(bits >> 3 & 1)),
                // Offsets begin with 1.
                offset > 0, 1...UInt64(Flights.lastOfAll) ~= number, numbers.count < Flights.most, numbers.insert(number).inserted
            else { return false }
            flights.append(
                .init(number: UInt16(clamping: number), step: step, log: log, isApart: bits & 4 != 0, offset: offset))
        }
        self.flights = Flights(all: flights, lastNumber: UInt16(clamping: last))
        guard let topics = input.number() else { return false }
        for _ in 0..<topics {
            guard let topic = input.text() else { return false }
            self.retainedAgain.append(topic)
        }
        guard let received = input.number() else { return false }
        for _ in 0..<received {
            guard let number = input.number(), let number = UInt16(exactly: number) else { return false }
            self.received.append(number)
        }
        return self.readRanges(&input)
    }

    private mutating func readRanges(_ input: inout RecordReader) -> Bool {
        // Those of before have none.
        guard !input.isEmpty else { return true }
        guard let ranges = input.number() else { return false }
        for _ in 0..<ranges {
            guard let index = input.number(), let length = input.number(), index < UInt64(self.subscriptions.count),
                length <= self.subscriptions[Int(index)].position
            else { return false }
            self.subscriptions[Int(index)].from = self.subscriptions[Int(index)].position - length
        }
        guard let ended = input.number() else { return false }
        for _ in 0..<ended {
            guard let text = input.text(), let from = input.number(), let position = input.number(),
                let filter = try? TopicFilter(parsing: text, limits: Self.anyTopic)
            else { return false }
            self.ended.append(.init(filter: filter, from: from, position: position))
        }
        return self.readRetained(&input)
    }

    private mutating func readRetained(_ input: inout RecordReader) -> Bool {
        // Without values under way.
        guard !input.isEmpty else { return true }
        guard let epoch = input.number(), let epoch = UInt32(exactly: epoch), let count = input.number() else { return false }
        self.memoryEpoch = epoch
        for _ in 0..<count {
            guard let number = input.number(), let number = UInt16(exactly: number), let topic = input.text(), let filter = input.text(),
                let flight = self.flights.all.first(where: { $0.number == number }), flight.isApart, flight.step != .released
            else { return false }
            self.retainedNumbers[number] = ValueInFlight(topic: topic, filter: filter)
        }
        return true
    }

    /// Seconds and counts, so that what is reckoned from them fits.
    private static func bounded(_ number: UInt64) -> Int { Int(min(number, UInt64(UInt32.max))) }

    /// No time is later than this: Unix time in milliseconds.
    private static let latest: Int64 = 1 << 53

    /// What was allowed when it was written stays so.
    private static let anyTopic: Limits = {
        var limits = Limits()
        limits.topicBytes = 65_535
        limits.topicLevels = 65_535
        return limits
    }()
}

/// Puts a record together.
private struct RecordWriter {
    private(set) var bytes: [UInt8]

    init(_ version: UInt8) { self.bytes = [version] }

    mutating func append(_ number: UInt64) { Varint.append(number, to: &self.bytes) }

    mutating func append(_ data: [UInt8]) {
        self.append(UInt64(data.count))
        self.bytes.append(contentsOf: data)
    }

    mutating func append(_ text: String) { self.append(Array(text.utf8)) }

    /// 0 for none; otherwise 1 and the text.
    mutating func append(_ text: String?) {
        self.append(text == nil ? 0 : 1)
        if let text { self.append(text) }
    }
}

/// Takes a record apart. Damaged ones end early.
private struct RecordReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { self.rest = bytes[...] }

    var isEmpty: Bool { self.rest.isEmpty }

    mutating func byte() -> UInt8? { self.rest.popFirst() }

    mutating func number() -> UInt64? { Varint.read(&self.rest) }

    mutating func bytes() -> [UInt8]? {
        guard let count = self.number(), count <= UInt64(self.rest.count) else { return nil }
        defer { self.rest = self.rest.dropFirst(Int(count)) }
        return Array(self.rest.prefix(Int(count)))
    }

    mutating func text() -> String? { self.bytes().flatMap { String(validating: $0, as: UTF8.self) } }

    mutating func optionalText() -> String?? {
        switch self.number() {
        case 0: .some(nil)
        case 1: self.text().map { .some($0) }
        default: nil
        }
    }
}

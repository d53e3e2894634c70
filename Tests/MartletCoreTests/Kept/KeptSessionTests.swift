import MartletCore
import MartletTestSupport
import MartletWire
import Testing

/// Sessions as bytes, and what they need of queues.
struct KeptSessionTests {
    private var random = SeededRandom(seed: 11)

    private mutating func text(_ most: Int = 12) -> String {
        let letters: [Character] = ["a", "b", "/", "é", "😀", "x"]
        return String((0..<Int.random(in: 1...most, using: &self.random)).map { _ in letters.randomElement(using: &self.random) ?? "a" })
    }

    private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self.random) < percent }

    private mutating func session() -> KeptSession {
        var session = KeptSession(
            key: DeviceKey(app: .dev, name: self.text()), user: self.chance(70) ? self.text() : nil,
            expirySeconds: Int.random(in: 0...Int(UInt32.max), using: &self.random))
        if self.chance(50) {
            session.inbox = .init(windowMessages: Int.random(in: 1...1_024, using: &self.random), acks: self.chance(50))
        }
        for _ in 0..<Int.random(in: 0...6, using: &self.random) {
            var options = SubscribeOptions(qos: UInt8.random(in: 0...2, using: &self.random))
            options.noLocal = self.chance(50)
            options.retainAsPublished = self.chance(50)
            options.retainHandling = [.always, .ifNew, .never].randomElement(using: &self.random) ?? .always
            options.identifier = UInt32.random(in: 0...268_435_455, using: &self.random)
            options.share = self.chance(30) ? self.text() : nil
            let name = self.text()
            let filter = (try? TopicFilter(parsing: self.chance(40) ? name + "/+/#" : name, limits: Limits())) ?? TopicFilter(topic: name)
            session.subscriptions.append(
                .init(filter: filter, options: options, position: UInt64.random(in: 0...(.max), using: &self.random)))
            let position = session.subscriptions[session.subscriptions.count - 1].position
            if self.chance(50) { session.subscriptions[session.subscriptions.count - 1].from = UInt64.random(in: 0...position, using: &self.random) }
            if self.chance(30) { session.ended.append(.init(filter: filter, from: position / 2, position: position)) }
        }
        if self.chance(60) {
            var request = AppendRequest(
                app: .dev, targets: [], ttl: Int.random(in: 0...2_592_000, using: &self.random),
                topic: TopicAppend(name: self.text(), retain: [.leave, .set, .clear].randomElement(using: &self.random) ?? .leave),
                members: Array(self.text(90).utf8))
            request.marks = MessageMarks(rawValue: UInt64.random(in: 0...(.max), using: &self.random))
            session.will = Will(request: request, delaySeconds: Int.random(in: 0...Int(UInt32.max), using: &self.random))
        }
        session.endedAt = self.chance(50) ? Int64.random(in: 0...4_000_000_000_000, using: &self.random) : nil
        var numbers = Array(UInt16(1)...40)
        numbers.shuffle(using: &self.random)
        let flights = numbers.prefix(Int.random(in: 0...20, using: &self.random)).map { number in
            Flights.Flight(
                number: number, step: [.sent, .sentOnce, .released].randomElement(using: &self.random) ?? .sent,
                log: self.chance(50) ? .durable : .memory, isApart: self.chance(20),
                offset: UInt64.random(in: 1...(.max), using: &self.random))
        }
        session.flights = Flights(all: Array(flights), lastNumber: UInt16.random(in: 0...Flights.lastOfAll, using: &self.random))
        for flight in flights where flight.isApart && flight.step != .released && self.chance(70) {
            session.retainedNumbers[flight.number] = .init(topic: self.text(), filter: self.text())
        }
        if !session.retainedNumbers.isEmpty { session.memoryEpoch = UInt32.random(in: 0...(.max), using: &self.random) }
        for _ in 0..<Int.random(in: 0...3, using: &self.random) { session.retainedAgain.append(self.text()) }
        session.received = (0..<Int.random(in: 0...5, using: &self.random)).map { _ in UInt16.random(in: 1...(.max), using: &self.random) }
        return session
    }

    @Test mutating func bytesAreReadAsTheyWereWritten() throws {
        for _ in 0..<2_000 {
            let session = self.session()
            let read = try #require(KeptSession(SessionRow(key: session.key, settings: session.settings, state: session.state)))
            #expect(read.user == session.user)
            #expect(read.expirySeconds == session.expirySeconds)
            #expect(read.inbox == session.inbox)
            #expect(read.subscriptions == session.subscriptions)
            #expect(read.subscriptions.map(\.filter.isWildcard) == session.subscriptions.map(\.filter.isWildcard))
            #expect(read.endedAt == session.endedAt)
            #expect(read.flights == session.flights)
            #expect(read.retainedAgain == session.retainedAgain)
            #expect(read.retainedNumbers == session.retainedNumbers && read.memoryEpoch == session.memoryEpoch)
            #expect(read.received == session.received)
            #expect(read.ended == session.ended)
            #expect(read.will?.delaySeconds == session.will?.delaySeconds)
            let (will, before) = (read.will?.request, session.will?.request)
            #expect(will?.app == before?.app && will?.ttl == before?.ttl && will?.members == before?.members)
            #expect(will?.topic == before?.topic && will?.marks == before?.marks && will?.targets == before?.targets)
        }
    }

    @Test mutating func damagedBytesNeverCrash() {
        var readable = 0
        for _ in 0..<20_000 {
            let session = self.session()
            var parts = [session.settings, session.state]
            for _ in 0..<Int.random(in: 1...3, using: &self.random) {
                let part = Int.random(in: 0...1, using: &self.random)
                guard !parts[part].isEmpty else { continue }
                let index = parts[part].indices.randomElement(using: &self.random) ?? 0
                switch Int.random(in: 0...3, using: &self.random) {
                case 0: parts[part].removeSubrange(index...)
                case 1: parts[part][index] ^= 1 << UInt8.random(in: 0...7, using: &self.random)
                case 2: parts[part][index] = .max
                default: parts[part].insert(UInt8.random(in: 0...(.max), using: &self.random), at: index)
                }
            }
            guard var read = KeptSession(SessionRow(key: session.key, settings: parts[0], state: parts[1])) else { continue }
            readable += 1
            // What is reckoned from it must not overflow, nor take for ever.
            _ = (read.expiresAt, read.willAt, read.settings, read.state)
            for subscription in read.subscriptions { _ = read.needless(of: subscription.filter.text) }
            _ = read.flights.start(.sent, .durable, offset: 1)
            #expect(read.flights.count <= Flights.most + 1)
            #expect((read.will?.request.ttl ?? 0) <= Int(UInt32.max))
        }
        // Not every damage shows.
        #expect(readable > 1_000)
    }

    @Test func anUnknownVersionIsNotRead() {
        let session = KeptSession(key: DeviceKey(app: .dev, name: "a"), user: nil, expirySeconds: 1)
        var row = SessionRow(key: session.key, settings: session.settings, state: [])
        #expect(KeptSession(row) != nil)
        row.settings[0] = 2
        #expect(KeptSession(row) == nil)
        row.settings = session.settings
        row.state = [9]
        #expect(KeptSession(row) == nil)
        row.settings = []
        #expect(KeptSession(row) == nil)
    }

    @Test func aQueueIsNeededFromTheFirstThatWasNotReceived() {
        var session = KeptSession(key: DeviceKey(app: .dev, name: "a"), user: nil, expirySeconds: 1)
        let (one, all, none) = (SubscribeOptions(qos: 1), SubscribeOptions(qos: 2), SubscribeOptions(qos: 0))
        session.subscriptions = [
            .init(filter: TopicFilter(topic: "a"), options: one, position: 50), .init(filter: TopicFilter(topic: "b"), options: all, position: 90),
            .init(filter: TopicFilter(topic: "c"), options: none, position: 1),
        ]
        #expect(session.needless(of: "a") == 50)
        #expect(session.needless(of: "b") == 90)
        #expect(session.needless(of: "c") == nil)
        _ = session.flights.start(.sent, .durable, offset: 40)
        #expect(session.needless(of: "a") == 39)
        session.subscriptions[1].filter = (try? TopicFilter(parsing: "#", limits: Limits())) ?? TopicFilter(topic: "")
        session.subscriptions[1].position = 20
        #expect(session.needless(of: "a") == 20)
    }

    @Test func aWillIsDueWhenItsPauseIsOverOrTheSessionIs() {
        var session = KeptSession(key: DeviceKey(app: .dev, name: "a"), user: nil, expirySeconds: 10)
        session.will = Will(request: AppendRequest(app: .dev, targets: [], members: []), delaySeconds: 5)
        #expect(session.willAt == nil && session.expiresAt == nil)
        session.endedAt = 1_000
        #expect(session.willAt == 6_000 && session.expiresAt == 11_000)
        session.will?.delaySeconds = 50
        #expect(session.willAt == 11_000)
    }
}

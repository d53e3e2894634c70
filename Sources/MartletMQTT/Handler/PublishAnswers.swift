import MartletCore
import MartletWire
import NIOCore
import Synchronization

/// The answers to publishes of QoS 1 and 2, in the order in which these came (MQTT 5.0 §4.6).
struct PublishAnswers {
    struct Answer {
        var number: UInt16
        var qos: MQTTQoS
        /// nil until the outcome is known.
        var known: MQTTReasonCode?
        var reason: String?

        var code: MQTTReasonCode { self.known ?? .success }
    }

    private var waiting: [Answer] = []
    /// Answers at the front of `waiting` that were given out.
    private var head = 0
    /// The place of the first one in `waiting`.
    private var base = 0

    /// - Returns: its place.
    mutating func add(_ number: UInt16, _ qos: MQTTQoS) -> Int {
        self.waiting.append(Answer(number: number, qos: qos))
        return self.base + self.waiting.count - 1
    }

    mutating func settle(_ place: Int, _ code: MQTTReasonCode, _ reason: String?) {
        let index = place - self.base
        guard self.waiting.indices.contains(index) else { return }
        self.waiting[index].known = code
        self.waiting[index].reason = reason
    }

    /// The number of one of a QoS.
    func number(_ place: Int, _ qos: MQTTQoS) -> UInt16? {
        let index = place - self.base
        return self.waiting.indices.contains(index) && self.waiting[index].qos == qos ? self.waiting[index].number : nil
    }

    /// The next answer that can go out.
    mutating func next() -> Answer? {
        guard self.head < self.waiting.count, self.waiting[self.head].known != nil else { return nil }
        let answer = self.waiting[self.head]
        self.head += 1
        if self.head == self.waiting.count {
            self.base += self.head
            self.head = 0
            self.waiting.removeAll(keepingCapacity: self.waiting.capacity <= 64)
        } else if self.head >= 64, self.head > self.waiting.count / 2 {
            self.waiting.removeFirst(self.head)
            self.base += self.head
            self.head = 0
        }
        return answer
    }
}

/// Messages that go to the node together.
struct PublishBatch: Sendable {
    private(set) var requests: [AppendRequest] = []
    /// Of their answers; nil at QoS 0.
    private(set) var places: [Int?] = []

    var isEmpty: Bool { self.requests.isEmpty }

    mutating func add(_ request: AppendRequest, _ place: Int?) {
        self.requests.append(request)
        self.places.append(place)
    }
}

/// Outcomes of publishes on their way to the connections of one loop: one hop for all that come together.
final class OutcomeMail: @unchecked Sendable {
    private struct Letter {
        var connection: MQTTConnection
        var places: [Int?]
        var outcomes: [AppendOutcome]
    }

    private struct Letters: @unchecked Sendable {
        var all: [Letter] = []
    }

    private let loop: any EventLoop
    private let letters = Mutex(Letters())

    init(loop: any EventLoop) { self.loop = loop }

    /// From any thread.
    func add(_ connection: MQTTConnection, _ places: [Int?], _ outcomes: [AppendOutcome]) {
        let letter = Letters(all: [Letter(connection: connection, places: places, outcomes: outcomes)])
        let isFirst = self.letters.withLock { letters in
            letters.all += letter.all
            return letters.all.count == 1
        }
        guard isFirst else { return }
        self.loop.execute {
            let letters = self.letters.withLock { letters in
                defer { letters = Letters() }
                return letters
            }
            for letter in letters.all { letter.connection.published(letter.places, letter.outcomes) }
        }
    }
}

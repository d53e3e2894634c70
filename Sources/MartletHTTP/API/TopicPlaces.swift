import MartletCore
import MartletWire

/// Where the next page of a topic's history begins, as `next` says it: opaque to those who ask.
struct HistoryPlace {
    private var log: TopicLogKind
    /// Names the history: of the memory log this process, of the store's nothing.
    private var epoch: UInt32
    private var topicHash: UInt32
    private var offset: UInt64

    private static let malformed = WireError(.invalidCursor, "This is not a 'next' of this topic's history. Leave it out to begin anew.")

    init(_ offset: UInt64, of topic: TopicKey, in log: TopicLogKind?, _ services: HTTPServices) {
        self.log = log ?? .memory
        self.epoch = log == .durable ? 0 : services.processTag
        self.topicHash = Self.hash(topic)
        self.offset = offset
    }

    /// Of the app too: its topics of the same name are others.
    private static func hash(_ topic: TopicKey) -> UInt32 { shortHash("\(topic.app.rawValue)/\(topic.name)") }

    /// Untrusted: any text.
    ///
    /// - Throws: `invalid_cursor`.
    init(parsing text: String) throws(WireError) {
        guard text.utf8.count <= 64, let bytes = Base64URL.decode(text.utf8), bytes.count > 9, let log = TopicLogKind(rawValue: bytes[0])
        else { throw Self.malformed }
        var rest = bytes[9...]
        guard let offset = Varint.read(&rest), rest.isEmpty else { throw Self.malformed }
        self.log = log
        self.epoch = bytes[1...4].reduce(0) { $0 << 8 | UInt32($1) }
        self.topicHash = bytes[5...8].reduce(0) { $0 << 8 | UInt32($1) }
        self.offset = offset
    }

    var text: String {
        var bytes: [UInt8] = [self.log.rawValue]
        for word in [self.epoch, self.topicHash] {
            for shift in stride(from: UInt32(24), through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
        }
        Varint.append(self.offset, to: &bytes)
        var output: [UInt8] = []
        Base64URL.encode(bytes, into: &output)
        return String(decoding: output, as: UTF8.self)
    }

    enum Found {
        case success(UInt64)
        /// The history that it is a place in is no more.
        case failure(TopicGap)
    }

    /// - Throws: `invalid_cursor` for another topic's.
    func offset(of topic: TopicKey, in log: TopicLogKind?, _ services: HTTPServices) throws(WireError) -> Found {
        guard self.topicHash == Self.hash(topic) else { throw Self.malformed }
        guard self.log == log, self.log == .durable || self.epoch == services.processTag else {
            return .failure(TopicGap(topic: topic.name, reason: .epoch))
        }
        return .success(self.offset)
    }
}

/// The member that the next page of who is there begins after, as `next` says it.
enum PresencePlace {
    static func text(_ member: PresenceMember) -> String {
        var bytes: [UInt8] = []
        for name in [member.user, member.device] {
            // 0 is none.
            Varint.append(name.map { UInt64($0.utf8.count) + 1 } ?? 0, to: &bytes)
            bytes.append(contentsOf: (name ?? "").utf8)
        }
        var output: [UInt8] = []
        Base64URL.encode(bytes, into: &output)
        return String(decoding: output, as: UTF8.self)
    }

    /// Untrusted: any text.
    ///
    /// - Throws: `invalid_cursor`.
    static func parse(_ text: String) throws(WireError) -> PresenceMember {
        let malformed = WireError(.invalidCursor, "'after' must be the 'next' of the page before.")
        guard text.utf8.count <= 1_024, let bytes = Base64URL.decode(text.utf8) else { throw malformed }
        var rest = bytes[...]
        var names: [String?] = []
        for _ in 0..<2 {
            guard let length = Varint.read(&rest), length <= UInt64(rest.count) + 1 else { throw malformed }
            guard length > 0 else {
                names.append(nil)
                continue
            }
            names.append(String(decoding: rest.prefix(Int(length) - 1), as: UTF8.self))
            rest.removeFirst(Int(length) - 1)
        }
        guard rest.isEmpty else { throw malformed }
        return PresenceMember(user: names[0], device: names[1])
    }
}

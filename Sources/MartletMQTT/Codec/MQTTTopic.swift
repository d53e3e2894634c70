/// What a client subscribes to (MQTT 5.0 §4.7, §4.8.2), checked.
///
/// Swift's `==` of strings takes é as one character and as two for the same; topics are the same only byte by byte (§4.7.3), so
/// compare `utf8`.
package struct MQTTTopicFilter: Equatable, Sendable {
    /// As it came, with `$share/…/`.
    package let text: String
    /// The share name of a shared subscription; nil for others. 3.1.1 knows none, but what looks like one is one here too: its server
    /// may take ``text`` instead.
    package let group: String?
    /// What topics are matched against: ``text`` without `$share/` and the share name.
    package let filter: String

    /// Whether it is one that topics can be matched against: one of a SUBSCRIBE that is not is answered with 0x8F in its place.
    package let isValid: Bool

    /// What came instead of a filter.
    init(invalid text: String) {
        self.text = text
        self.group = nil
        self.filter = text
        self.isValid = false
    }

    /// - Parameter text: any text that came as an MQTT string.
    /// - Throws: 0x8F if a wildcard is not alone in its level, or `#` not in the last one ([MQTT-4.7.1-1], [MQTT-4.7.1-2]), if it is
    ///   empty ([MQTT-4.7.3-1]), and in MQTT 5 for a shared subscription without share name or filter ([MQTT-4.8.2-1], [MQTT-4.8.2-2]).
    package init(_ text: String, version: MQTTVersion = .v5) throws(MQTTError) {
        self.text = text
        self.isValid = true
        let isShared = text.utf8.starts(with: Self.sharePrefix.utf8)
        if isShared, let (group, filter) = Self.shared(text) {
            self.group = group
            self.filter = filter
        } else {
            guard !isShared || version < .v5 else { throw Self.invalid("a shared subscription needs $share/, a name and a filter") }
            self.group = nil
            self.filter = text
        }
        guard Self.isValid(self.filter.utf8) else {
            throw Self.invalid("a topic filter has no characters, or a wildcard in the wrong place")
        }
    }

    private static let sharePrefix = "$share/"

    /// Takes a shared subscription apart; nil if it has no share name, one with a wildcard, or no filter.
    private static func shared(_ text: String) -> (group: String, filter: String)? {
        let rest = text.utf8.dropFirst(self.sharePrefix.utf8.count)
        guard let end = rest.firstIndex(of: UInt8(ascii: "/")) else { return nil }
        let group = rest[..<end]
        let filter = rest[rest.index(after: end)...]
        guard !group.isEmpty, !filter.isEmpty, !group.contains(where: MQTTTopicName.isWildcard) else { return nil }
        return (String(Substring(group)), String(Substring(filter)))
    }

    private static func isValid(_ text: String.UTF8View) -> Bool {
        guard !text.isEmpty else { return false }
        var isLevelStart = true
        // After a wildcard only a new level may come, after # nothing.
        var wildcard: UInt8?
        for byte in text {
            if let last = wildcard {
                guard last == UInt8(ascii: "+"), byte == UInt8(ascii: "/") else { return false }
                wildcard = nil
            }
            if MQTTTopicName.isWildcard(byte) {
                guard isLevelStart else { return false }
                wildcard = byte
            }
            isLevelStart = byte == UInt8(ascii: "/")
        }
        return true
    }

    private static func invalid(_ reason: String) -> MQTTError { MQTTError(.topicFilterInvalid, reason) }
}

/// What is published to (MQTT 5.0 §3.3.2.1, §4.7).
package enum MQTTTopicName {
    /// Whether it has characters, and no wildcards ([MQTT-3.3.2-2], [MQTT-4.7.3-1]).
    package static func isValid(_ name: String) -> Bool {
        !name.isEmpty && !name.utf8.contains(where: Self.isWildcard)
    }

    static func isWildcard(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#") }
}

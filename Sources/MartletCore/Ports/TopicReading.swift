import MartletWire

/// Where reading a topic begins.
package enum TopicStart: Hashable, Sendable {
    /// With what is published from now on (and the retained value).
    case latest
    /// With the oldest that is kept.
    case earliest
    /// With the last so many that are kept.
    case last(Int)
    /// With what was published at or after this time: Unix time in milliseconds.
    case time(Int64)
    /// With what comes after this offset of the log that the topic is in.
    case after(UInt64)
}

/// Asks a log for the messages of one topic, or of all that match a filter.
package struct TopicReadRequest: Equatable, Sendable {
    package var app: AppID
    package var filter: TopicFilter
    /// Not `latest`.
    package var start: TopicStart
    /// Messages and bytes that may be returned. The first message is returned however large it is.
    package var messages: Int
    package var bytes: Int
    /// The server's clock, in milliseconds: what has expired by then is left out.
    package var now: Int64

    package init(app: AppID, filter: TopicFilter, start: TopicStart, messages: Int, bytes: Int, now: Int64) {
        self.app = app
        self.filter = filter
        self.start = start
        self.messages = messages
        self.bytes = bytes
        self.now = now
    }
}

/// Asks for the retained values of all topics that match a filter, by topic, in the order of their names' bytes.
package struct RetainedRequest: Sendable {
    package var app: AppID
    package var filter: TopicFilter
    /// The name after which it begins; nil for the first.
    package var after: String?
    /// Values and bytes that may be returned. The first value is returned however large it is.
    package var values: Int
    package var bytes: Int
    /// The server's clock, in milliseconds: what has expired by then is left out.
    package var now: Int64

    package init(app: AppID, filter: TopicFilter, after: String? = nil, values: Int, bytes: Int = .max, now: Int64) {
        self.app = app
        self.filter = filter
        self.after = after
        self.values = values
        self.bytes = bytes
        self.now = now
    }
}

/// Some of the retained values that were asked for.
package struct RetainedSlice: Sendable {
    package var entries: [TopicSlice.Entry]
    /// The name up to which these are all that there are, at or after the last one's; nil if there are none after these. A store may look at
    /// some names only and return no value, so that a filter that matches few of many keeps nobody waiting.
    package var reached: String?

    package init(entries: [TopicSlice.Entry], reached: String? = nil) {
        self.entries = entries
        self.reached = reached
    }
}

/// What a log holds of a topic, as of one moment.
package struct TopicSlice: Sendable {
    package struct Entry: Sendable {
        package var topic: String
        package var message: StoredMessage

        package init(topic: String, message: StoredMessage) {
            self.topic = topic
            self.message = message
        }
    }

    /// By offset: the oldest that were asked for.
    package var entries: [Entry]
    /// For each topic of which something after `start` is kept no longer. Only with ``TopicStart/after(_:)``.
    package var gaps: [TopicGap]
    /// Whether there is more than was returned.
    package var more: Bool
    /// Everything at or before is in this slice or was before `start`: the offset to go on after. Without `more`, the end of the log.
    package var position: UInt64

    package init(entries: [Entry], gaps: [TopicGap], more: Bool, position: UInt64) {
        self.entries = entries
        self.gaps = gaps
        self.more = more
        self.position = position
    }
}

/// Messages of a topic that a subscriber does not get.
package struct TopicGap: Equatable, Sendable {
    package enum Reason: String, Sendable {
        /// They are kept no longer.
        case trimmed
        /// The topic keeps no history, and the subscriber did not read fast enough.
        case slow
        /// The position is of a history that is no more.
        case epoch
        /// The position is beyond the end of the log.
        case beyondEnd = "beyond_end"
    }

    package var topic: String
    package var reason: Reason
    /// Gone is what lies after `from` up to and with `to`; nil when that is not known.
    package var from: UInt64?
    package var to: UInt64?

    package init(topic: String, reason: Reason, from: UInt64? = nil, to: UInt64? = nil) {
        self.topic = topic
        self.reason = reason
        self.from = from
        self.to = to
    }
}

/// What is known of a topic's log.
package struct TopicLogInfo: Equatable, Sendable {
    package var messages: Int
    package var bytes: Int
    /// Offsets of the oldest and the newest that are kept; nil without any.
    package var first: UInt64?
    package var last: UInt64?

    package init(messages: Int, bytes: Int, first: UInt64?, last: UInt64?) {
        self.messages = messages
        self.bytes = bytes
        self.first = first
        self.last = last
    }
}

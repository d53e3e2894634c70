/// Which device a client is. A device's position is kept by the server, so it must be the same at the next start, and no other's.
public enum Device: Sendable, ExpressibleByStringLiteral {
    /// This one.
    case named(String)
    /// One of its own, made at the first start and kept in the ``CursorStore``.
    case automatic
    /// None: messages count from now on, and nothing is recorded.
    case none

    public init(stringLiteral value: String) { self = .named(value) }
}

/// Where a topic begins.
public struct Since: Sendable, Equatable {
    package let text: String

    /// With what is published from now on.
    public static let latest = Since(text: "latest")
    /// With the oldest that the topic keeps.
    public static let earliest = Since(text: "earliest")
    /// With the last so many.
    public static func last(_ count: Int) -> Since { Since(text: "last:\(max(0, count))") }
    /// With what was published after this time, in milliseconds since 1970.
    public static func time(milliseconds: Int64) -> Since { Since(text: "\(milliseconds)") }
    /// As the protocol writes it: `latest`, `earliest`, `last:N`, or a time such as `2026-11-21T08:00:00Z`.
    public static func written(_ text: String) -> Since { Since(text: text) }
}

/// How a client behaves; the defaults are what apps want.
public struct MartletOptions: Sendable {
    /// The wished interval of heartbeats, in seconds. It adapts between `least` and `most`.
    public struct Heartbeat: Sendable {
        public var start: Double
        public var least: Double
        public var most: Double
        /// - Parameters: seconds, 1 to 600.
        public init(start: Double = 25, least: Double = 10, most: Double = 120) {
            self.start = start
            self.least = least
            self.most = most
        }
    }

    /// The random pauses before trying again: up to `base`, then twice that, up to `most`. In seconds.
    public struct Retry: Sendable {
        public var base: Double
        public var most: Double
        public init(base: Double = 1, most: Double = 30) {
            self.base = base
            self.most = most
        }
    }

    /// The ways to connect, best first.
    public var transports: [Transport] = [.webSocket, .sse]
    /// Where the position is kept; by default a file of its own for each server and user.
    public var store: (any CursorStore)?
    public var heartbeat = Heartbeat()
    public var retry = Retry()
    /// Messages that may be on their way and not acked, 1 to 1,024; nil leaves it to the server (64).
    public var window: Int?
    /// A device that the server has never seen begins after what is stored already.
    public var fromNow = false
    /// Publishes that may wait for a connection.
    public var publishQueue = 1_000
    /// Seconds until a better transport is tried again, after a lesser one had to be taken; doubles up to half an hour.
    public var upgradeSeconds: Double = 60
    /// Seconds in which a transport must be welcomed before the next one is tried; doubles with each failure, up to eight times that.
    public var connectSeconds: Double = 5

    public init() {}
}

package import MartletWire

/// A path at which the answers of a polled URL can be had by those who still poll.
package struct BridgePath: Sendable {
    /// Names the bridge to its desk.
    package var index: Int
    package var app: AppID
    /// The topic that the answers go to; nil if each user has one of their own.
    package var topic: String?
    /// Whether nobody is asked who they are.
    package var isPublic: Bool

    package init(index: Int, app: AppID, topic: String?, isPublic: Bool) {
        self.index = index
        self.app = app
        self.topic = topic
        self.isPublic = isPublic
    }
}

/// What a polled URL answered, for one who asks.
package struct PolledAnswer: Sendable {
    package var body: [UInt8]
    package var contentType: String?
    /// An entity tag (RFC 9110 §8.8.3), with its quotes; made of the answer.
    package var tag: String
    /// As the URL's server said it.
    package var lastModified: String?
    /// Time since it was last known to be current, and until it is asked for again, in seconds.
    package var ageSeconds: Int
    package var maxAgeSeconds: Int
    /// Why it could not be asked for again; nil if it is current.
    package var staleBecause: String?

    package init(
        body: [UInt8], contentType: String?, tag: String, lastModified: String?, ageSeconds: Int, maxAgeSeconds: Int, staleBecause: String?
    ) {
        self.body = body
        self.contentType = contentType
        self.tag = tag
        self.lastModified = lastModified
        self.ageSeconds = ageSeconds
        self.maxAgeSeconds = maxAgeSeconds
        self.staleBecause = staleBecause
    }
}

/// What transports need of the bridges to polled URLs.
package protocol BridgeDesk: Sendable {
    /// The bridge that answers at a path; nil for none.
    func bridge(at path: Substring) -> BridgePath?

    /// What a bridge's URL answers: from memory, or after one poll that all who ask share.
    ///
    /// - Parameters:
    ///   - user: for a bridge without a topic.
    ///   - done: called once, at once or later on any thread. `upstream_failed` or `upstream_timeout` if there is no answer to give.
    func answer(_ path: BridgePath, user: String?, done: @escaping @Sendable (Result<PolledAnswer, WireError>) -> Void)
}

package import MartletWire

/// Asks what became of a message.
package struct StatusRequest: Equatable, Sendable {
    package var app: AppID
    package var id: MessageID
    /// The server's clock, in milliseconds.
    package var now: Int64
    /// Devices to list at most, and the name after which to go on; nil starts at the first.
    package var limit: Int
    package var after: String?

    package init(app: AppID, id: MessageID, now: Int64, limit: Int = 100, after: String? = nil) {
        self.app = app
        self.id = id
        self.now = now
        self.limit = limit
        self.after = after
    }
}

/// Where a message stands on one device.
package enum DeliveryState: String, CaseIterable, Sendable {
    case queued
    case sent
    case delivered
    case expired
    case collapsed
    case recalled
    /// Pushed out of a full inbox.
    case inboxFull = "failed"
}

/// One message, and where it stands on each device it addresses.
///
/// **How a state is derived.** `delivered` if the device's acked position passed it and it had been sent; `sent` if a sent range
/// covers it; otherwise `recalled`, `failed` (trimmed by the inbox limit), `collapsed` (a newer message has its key), `expired`,
/// or `queued`. A message that a device had been sent before it was recalled or collapsed stays `sent` or `delivered`.
package struct MessageStatus: Equatable, Sendable {
    package var id: MessageID
    package var targets: [InboxKey]
    package var priority: Priority
    /// Unix time in milliseconds, and the server clock's time of expiry.
    package var at: Int64
    package var expiresAt: Int64
    package var recalled: Bool
    /// Those after `after`, by name, at most `limit`.
    package var devices: [Delivery]
    /// The name to go on after; nil at the end.
    package var next: String?
    /// All addressed devices by state, whatever the page.
    package var counts: [DeliveryState: Int]

    package struct Delivery: Equatable, Sendable {
        package var device: String
        package var user: String?
        package var state: DeliveryState
        /// Unix times in milliseconds; nil if it did not happen.
        package var sentAt: Int64?
        package var deliveredAt: Int64?

        package init(device: String, user: String?, state: DeliveryState, sentAt: Int64? = nil, deliveredAt: Int64? = nil) {
            self.device = device
            self.user = user
            self.state = state
            self.sentAt = sentAt
            self.deliveredAt = deliveredAt
        }
    }

    package init(
        id: MessageID, targets: [InboxKey], priority: Priority, at: Int64, expiresAt: Int64, recalled: Bool,
        devices: [Delivery], next: String?, counts: [DeliveryState: Int]
    ) {
        self.id = id
        self.targets = targets
        self.priority = priority
        self.at = at
        self.expiresAt = expiresAt
        self.recalled = recalled
        self.devices = devices
        self.next = next
        self.counts = counts
    }
}

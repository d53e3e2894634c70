import MartletCore
import MartletWire

/// What a client model is like. One of these has one device.
final class SimClient {
    enum Kind: CaseIterable {
        case explicit
        case none
        case ramen
        case poll
    }

    enum AckStyle: CaseIterable {
        case single
        case cumulative
        case cursor
        case never
    }

    let index: Int
    /// nil: ephemeral.
    let device: String?
    var user: String?
    let kind: Kind
    var style: AckStyle
    let windowMessages: Int
    let windowBytes: Int
    /// In percent: how often its socket does not take at once.
    var slowness: Int
    var fromNow: Bool
    var connection: Connection?
    /// Where it came to: the newest message's cursor, and which frame of which session that was.
    var place: Place?
    /// RAMEN: the largest number seen.
    var seen: Place?

    struct Place {
        var session: Int
        var tap: Int
        var cursor: Cursor
        var seq: UInt64
    }

    init(
        index: Int, device: String?, user: String?, kind: Kind, style: AckStyle, windowMessages: Int, windowBytes: Int,
        slowness: Int, fromNow: Bool
    ) {
        self.index = index
        self.device = device
        self.user = user
        self.kind = kind
        self.style = style
        self.windowMessages = windowMessages
        self.windowBytes = windowBytes
        self.slowness = slowness
        self.fromNow = fromNow
    }
}

enum Frame {
    case welcome(Cursor)
    /// `tap` counts the messages of the session, from 0.
    case message(SimClient.Place, number: Int)
    case gap(GapNotice)
    case closed
}

/// What a client says.
enum Upward {
    case each([SimClient.Place])
    case upTo(SimClient.Place)
    case cursor(SimClient.Place)
}

/// One connection, with what is on its way in both directions.
final class Connection {
    let client: SimClient
    /// nil once the hub has let go of it.
    var session: HubSession?
    var queued: [Frame] = []
    var pipe: [Frame] = []
    var upward: [Upward] = []
    /// Received and not acked yet.
    var unacked: [SimClient.Place] = []
    var isSocketFull = false
    /// The client is gone; the hub may not have noticed.
    var isLost = false

    init(_ client: SimClient) { self.client = client }
}

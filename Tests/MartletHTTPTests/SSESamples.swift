import MartletCore
import MartletHTTP
import MartletWire

/// Values that the tests of encoders share.
enum Samples {
    static let cursor = Cursor(
        tag: 0xdead_beef, epoch: 1, appHash: 2, userHash: 3, deviceHash: 4, positions: Positions(all: 1_234_567))
    static let id = MessageID(milliseconds: 1_763_690_947_123, counter: 1, random: 2)
    static let fragment = #""id":"\#(id)","at":1763690947123,"data":{"a":1},"priority":"high""#

    static func delivery(seq: UInt64, redelivered: Bool = false, fragment: String = fragment) -> Delivery {
        let message = StoredMessage(
            id: self.id, offset: 1, priority: .high, at: 1, expiresAt: 2, collapseKey: nil,
            fragment: Array(fragment.utf8))
        return Delivery(message: message, seq: seq, redelivered: redelivered, cursor: self.cursor)
    }

    static let welcome = Welcome(
        session: "s1", ackMode: .explicit, heartbeatMs: 25_000, windowMessages: 64, windowBytes: 65_536, retryMs: 900,
        serverTime: 1_763_690_947_123, cursor: cursor, user: "al\"ice", device: "a1")
    static let welcomeJSON =
        #""session":"s1","ack":"explicit","heartbeatMs":25000,"window":{"messages":64,"bytes":65536},"retryMs":900,"#
        + #""serverTime":1763690947123,"user":"al\"ice","device":"a1""#
}

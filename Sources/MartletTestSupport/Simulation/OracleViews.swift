import MartletCore
import MartletWire

/// What the oracle knows of a device from outside.
final class DeviceView {
    let name: String
    var attempts = 0
    var user: String?
    /// Numbers of messages that it was ever sent, and that it received.
    var sent: Set<Int> = []
    var received: Set<Int> = []
    /// Acked for good, and when.
    var done: [Int: Int64] = [:]
    /// Up to these ticks it presented what acks others' messages, by scope.
    var hiddenUpTo = [0, 0, 0]
    /// Where the last welcome of a device that starts now was.
    var startedAt = 0
    var wasWelcomed = false
    /// Lanes of which it heard that messages are gone.
    var toldFull: Set<Lane> = []
    var lastSession = -1
    /// The largest id of a plain message sent first, by lane.
    var newest: [Lane: MessageID] = [:]

    init(_ name: String) { self.name = name }
}

/// What the oracle knows of a session from outside.
final class SessionView {
    let serial: Int
    let device: DeviceView?
    let user: String?
    let mode: AckMode
    let windowMessages: Int
    let windowBytes: Int
    let welcomedTick: Int
    let epoch: Int
    let run: Int
    /// The device was never heard of before.
    let isFirst: Bool
    /// A poll's answer is one piece.
    let hasShares: Bool
    var taps: [Tap] = []
    var sent: Set<Int> = []
    var inFlight = [0, 0, 0]
    var inFlightBytes = [0, 0, 0]
    var newest: [Lane: MessageID] = [:]
    /// A cursor of another session acked on this one: what it covers cannot be told from outside.
    var isWindowUnknown = false
    var expectedGaps: Set<GapNotice.Reason> = []

    struct Tap {
        var number: Int
        var seq: UInt64
        var lane: Lane
        var bytes: Int
        var isAcked = false
        var isTaken = false
    }

    init(
        serial: Int, device: DeviceView?, user: String?, mode: AckMode, windowMessages: Int, windowBytes: Int,
        tick: Int, epoch: Int, run: Int, isFirst: Bool, hasShares: Bool
    ) {
        self.serial = serial
        self.device = device
        self.user = user
        self.mode = mode
        self.windowMessages = windowMessages
        self.windowBytes = windowBytes
        self.welcomedTick = tick
        self.epoch = epoch
        self.run = run
        self.isFirst = isFirst
        self.hasShares = hasShares
    }

    func leavesWindow(_ index: Int) {
        guard !self.taps[index].isTaken else { return }
        self.taps[index].isTaken = true
        let priority = Int(self.taps[index].lane.priority.rawValue)
        self.inFlight[priority] -= 1
        self.inFlightBytes[priority] -= self.taps[index].bytes
    }
}

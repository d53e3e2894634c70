import MartletCore
import MartletWire
import Testing

@Suite struct ResumeTests {
    private let alice = CursorIdentity(epoch: 3, app: .dev, user: "alice", device: "phone")
    private let bob = CursorIdentity(epoch: 3, app: .dev, user: "bob", device: "phone")

    private func positions(of cursor: Cursor, for identity: CursorIdentity, end: UInt64 = 100) -> (Positions, [GapNotice]) {
        let valid = identity.validPositions(of: cursor, end: end)
        return (valid.positions, valid.gaps)
    }

    @Test func ownPositionsCount() {
        let (positions, gaps) = self.positions(of: self.alice.cursor(tag: 1, at: Positions(all: 7)), for: self.alice)
        #expect(positions == Positions(all: 7))
        #expect(gaps.isEmpty)
    }

    @Test func aDeviceThatMovedFromAliceDoesNotSkipBobsMessages() {
        let (positions, gaps) = self.positions(of: self.alice.cursor(tag: 1, at: Positions(all: 7)), for: self.bob)
        #expect(positions[.userMedium] == 0)
        #expect(positions[Lane(.device, .medium)] == 7)
        #expect(positions[Lane(.app, .medium)] == 7)
        #expect(gaps == [.init(reason: .owner, scope: .user)])
    }

    @Test func anotherHistoryCountsForNothing() {
        var cursor = self.alice.cursor(tag: 1, at: Positions(all: 7))
        cursor.epoch = 2
        let (positions, gaps) = self.positions(of: cursor, for: self.alice)
        #expect(positions == Positions())
        #expect(gaps.map(\.reason) == [.epoch, .epoch, .epoch])
    }

    @Test func beyondTheEndIsIgnoredForThatScopeOnly() {
        var cursor = self.alice.cursor(tag: 1, at: Positions(all: 7))
        cursor.positions[.userLow] = 101
        let (positions, gaps) = self.positions(of: cursor, for: self.alice)
        #expect(positions[.userHigh] == 0)
        #expect(positions[Lane(.app, .low)] == 7)
        #expect(gaps == [.init(reason: .beyondEnd, scope: .user)])
    }

    @Test func anotherAppsCursorCountsForNothing() {
        let other = CursorIdentity(epoch: 3, app: AppID(9), user: "alice", device: "phone")
        let (positions, gaps) = self.positions(of: other.cursor(tag: 1, at: Positions(all: 7)), for: self.alice)
        #expect(positions == Positions())
        #expect(gaps.map(\.reason) == [.owner, .owner, .owner])
    }

    @Test func aCursorWithoutAUserIsNoGapForTheUser() {
        let nobody = CursorIdentity(epoch: 3, app: .dev, user: nil, device: "phone")
        let (positions, gaps) = self.positions(of: nobody.cursor(tag: 1, at: Positions(all: 7)), for: self.alice)
        #expect(positions[.userMedium] == 0)
        #expect(positions[Lane(.device, .low)] == 7)
        #expect(gaps.isEmpty)
    }

    @Test func aSessionResumesAtTheLargerOfRecordedAndPresented() throws {
        var session = Session(SessionBench.hello(), tag: 1, epoch: 1)
        var cursor = session.cursor
        cursor.positions[.userMedium] = 9
        cursor.positions[.userHigh] = 3
        let record = DeviceRecord(isNew: false, acked: Positions(all: 5), suspect: Positions(), end: 20)
        let gaps = try session.opened(record, cursor: cursor, ramenSeq: nil, end: 20, at: 1)
        #expect(gaps.isEmpty)
        #expect(session.reached[.userMedium] == 9)
        #expect(session.reached[.userHigh] == 5)
        let update = session.takeUpdate(at: 1)
        #expect(update?.acked[.userMedium] == 9)
    }

    @Test func anEphemeralDeviceStartsNowOrAtItsCursor() throws {
        var hello = SessionBench.hello()
        hello.device = nil
        var now = Session(hello, tag: 1, epoch: 1)
        _ = try now.opened(nil, cursor: nil, ramenSeq: nil, end: 20, at: 1)
        #expect(now.reached == Positions(all: 20))
        var resumed = Session(hello, tag: 2, epoch: 1)
        var cursor = now.cursor
        cursor.positions = Positions(all: 12)
        _ = try resumed.opened(nil, cursor: cursor, ramenSeq: nil, end: 30, at: 1)
        #expect(resumed.reached[.userMedium] == 12)
        #expect(!resumed.hasUpdate)
    }
}

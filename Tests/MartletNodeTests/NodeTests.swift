import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Synchronization
import Testing

@Suite struct NodeTests {
    /// They share no limit.
    @Test func usersWhoOnlyLookAlikeAreTwo() {
        let fixture = NodeFixture()
        var refusals = 0
        for _ in 0...Limits().sessionsPerUser where fixture.connect("\u{e9}", nil).client.refusal != nil { refusals += 1 }
        #expect(refusals > 0)
        #expect(fixture.connect("e\u{301}", nil).client.refusal == nil)
    }

    @Test func aPublishWakesEachLoopWithReceiversOnce() {
        let fixture = NodeFixture()
        let left = (0..<5).map { fixture.connect("alice", "l\($0)", shard: 0).client }
        let right = (0..<5).map { fixture.connect("alice", "r\($0)", shard: 1).client }
        let other = fixture.connect("bob", "b", shard: 1).client
        let wakes = fixture.loops.map { $0.wakes.load(ordering: .relaxed) }
        let flushes = (left + right).map(\.flushes)
        fixture.publish("alice", 20)
        #expect(fixture.loops.map { $0.wakes.load(ordering: .relaxed) } == [wakes[0] + 1, wakes[1] + 1])
        fixture.settle()
        #expect((left + right).allSatisfy { $0.messages.count == 20 })
        #expect((left + right).map(\.flushes) == flushes.map { $0 + 1 })
        #expect(other.messages.isEmpty)

        let before = fixture.loops.map { $0.wakes.load(ordering: .relaxed) }
        fixture.publish("bob")
        fixture.publish("nobody")
        #expect(fixture.loops.map { $0.wakes.load(ordering: .relaxed) } == [before[0], before[1] + 1])
    }

    @Test(arguments: [0, 1]) func aSecondSessionTakesOver(shard: Int) {
        let fixture = NodeFixture()
        let first = fixture.connect("alice", "a1", shard: 0)
        let second = fixture.connect("alice", "a1", shard: shard)
        #expect(first.client.closed == .takenOver)
        #expect(second.client.welcome != nil)
        #expect(fixture.node.sessions == 1)
        fixture.publish("alice")
        fixture.settle()
        #expect(first.client.messages.isEmpty)
        #expect(second.client.messages.count == 1)
        // The first connection's end says nothing about the second.
        first.handle.clientClosed()
        fixture.publish("alice")
        fixture.settle()
        #expect(second.client.messages.count == 2)
        #expect(fixture.node.sessions == 1)
    }

    @Test func whatWasAckedBeforeATakeOverDoesNotComeAgain() throws {
        let fixture = NodeFixture()
        let first = fixture.connect("alice", "a1", shard: 0)
        fixture.publish("alice", 3)
        fixture.settle()
        try first.handle.ack(.upTo(2))
        let second = fixture.connect("alice", "a1", shard: 1)
        #expect(second.client.messages.map(\.redelivered) == [true])
    }

    @Test func aTakeOverWhileBeingOpened() {
        let fixture = NodeFixture()
        let clients = (0..<20).map { _ in Recorder() }
        for (index, client) in clients.enumerated() {
            _ = fixture.node.open(fixture.hello("alice", "a1"), client: client, shard: index % 2)
        }
        fixture.settle()
        #expect(clients.dropLast().allSatisfy { $0.closed == .takenOver && $0.refusal == nil })
        #expect(clients.last?.closed == nil)
        #expect(fixture.node.sessions == 1)
        fixture.publish("alice")
        fixture.settle()
        #expect(clients.map(\.messages.count) == Array(repeating: 0, count: 19) + [1])
    }

    @Test func aClientThatComesBackByItselfAfterATakeOverIsTurnedAway() throws {
        let fixture = NodeFixture()
        let first = fixture.connect("alice", "a1")
        let second = fixture.connect("alice", "a1", shard: 1)
        var hello = fixture.hello("alice", "a1")
        hello.cursor = try #require(first.client.welcome?.cursor)
        hello.automaticReconnect = true
        let again = Recorder()
        _ = fixture.node.open(hello, client: again, shard: 0)
        fixture.settle()
        #expect(again.closed == .takenOver)
        #expect(again.welcome == nil)
        #expect(second.client.closed == nil)
        #expect(fixture.node.sessions == 1)
        // Somebody who asks for it may.
        hello.automaticReconnect = false
        let asked = Recorder()
        _ = fixture.node.open(hello, client: asked, shard: 0)
        fixture.settle()
        #expect(asked.welcome != nil)
        #expect(second.client.closed == .takenOver)
    }

    @Test(arguments: [0, 1]) func aShortPollStandsBeside(shard: Int) throws {
        let fixture = NodeFixture()
        let live = fixture.connect("alice", "a1")
        fixture.publish("alice", 2)
        fixture.settle()
        #expect(live.client.messages.count == 2)
        var hello = fixture.hello("alice", "a1", ack: .none)
        hello.isPoll = true
        hello.beside = true
        hello.cursor = live.client.messages[0].cursor
        let poll = Recorder()
        _ = fixture.node.open(hello, client: poll, shard: shard)
        fixture.settle()
        #expect(poll.welcome?.isBeside == true)
        #expect(poll.settledCount == 1)
        #expect(poll.messages.isEmpty)
        #expect(live.client.closed == nil)
        #expect(fixture.node.sessions == 1)
        // Its cursor acked the first message for the live session.
        live.handle.clientClosed()
        let next = fixture.connect("alice", "a1")
        #expect(next.client.messages.count == 1)
    }

    @Test func drainTellsEverySessionOnceAndRefusesNewOnes() {
        let fixture = NodeFixture()
        let clients = (0..<4).map { fixture.connect("alice", "d\($0)", shard: $0).client }
        fixture.node.drain()
        fixture.settle()
        #expect(clients.allSatisfy { $0.closed == .serviceRestart && ($0.retryAfterMs ?? 0) > 0 })
        let after = Recorder()
        _ = fixture.node.open(fixture.hello("alice", "after"), client: after, shard: 0)
        #expect(after.refusal?.code == .draining)
        fixture.publish("alice")
        fixture.settle()
        #expect(clients.allSatisfy { $0.messages.isEmpty })
    }

    @Test func aSessionThatOpensWhileTheOthersAreToldIsRefused() {
        let fixture = NodeFixture(steps: true)
        let opening = fixture.connect("alice", "a1").client
        fixture.node.drain()
        fixture.settle()
        #expect(opening.welcome == nil && opening.refusal == nil)
        fixture.stepStore()
        fixture.settle()
        #expect(opening.welcome == nil)
        #expect(opening.refusal?.code == .draining)
        #expect(fixture.node.sessions == 0)
    }

    @Test func aClientThatGoesWhileItsSessionIsOpenedLeavesNothing() {
        let fixture = NodeFixture(steps: true)
        let first = fixture.connect("alice", "a1", shard: 0)
        let second = fixture.connect("alice", "a1", shard: 1)
        #expect(first.client.closed == .takenOver)
        second.handle.clientClosed()
        fixture.stepStore()
        fixture.settle()
        #expect(second.client.welcome == nil)
        #expect(fixture.node.sessions == 0)
        let third = fixture.connect("alice", "a1", shard: 0)
        fixture.stepStore()
        fixture.settle()
        #expect(third.client.welcome != nil)
        #expect(fixture.node.sessions == 1)
    }

    @Test func acksAreTakenWhileDraining() throws {
        let fixture = NodeFixture()
        let session = fixture.connect("alice", "a1")
        fixture.publish("alice")
        fixture.settle()
        fixture.node.drain()
        fixture.settle()
        try session.handle.ack(.upTo(1))
        session.handle.clientClosed()
        let isFlushed = Mutex(false)
        fixture.node.flushPositions { isFlushed.withLock { $0 = true } }
        fixture.settle()
        #expect(isFlushed.withLock { $0 })
        let record = Mutex<DeviceRecord?>(nil)
        fixture.store.openDevice(
            DeviceOpening(device: DeviceKey(app: .dev, name: "a1"), user: "alice", fromNow: false, at: 0)
        ) { result in record.withLock { $0 = try? result.get() } }
        let acked = try #require(record.withLock { $0 }).acked
        #expect(acked[Lane(.user, .medium)] == fixture.store.end)
    }

    @Test func anAckThatMeetsTheEndOfItsSessionIsTaken() throws {
        let fixture = NodeFixture()
        let session = fixture.connect("alice", "a1")
        fixture.publish("alice")
        fixture.settle()
        let cursor = try #require(session.client.messages.first).cursor
        let answers = Mutex<[WireError?]>([])
        fixture.node.ack(cursor, app: .dev, user: "alice", device: "a1") { error in answers.withLock { $0.append(error) } }
        session.handle.clientClosed()
        fixture.settle()
        #expect(answers.withLock { $0 } == [nil])
        #expect(fixture.connect("alice", "a1").client.messages.isEmpty)
    }

    @Test func aWatchWakesOnceAtTheNextChange() throws {
        let fixture = NodeFixture()
        let session = fixture.connect("alice", "a1")
        fixture.publish("alice")
        fixture.advance(100)
        let wakes = Mutex(0)
        let watch = fixture.node.watch([.user("alice", in: .dev)]) { wakes.withLock { $0 += 1 } }
        let forgotten = fixture.node.watch([.user("alice", in: .dev)]) { wakes.withLock { $0 += 100 } }
        let foreign = fixture.node.watch([.user("bob", in: .dev)]) { wakes.withLock { $0 += 1_000 } }
        fixture.node.unwatch(forgotten)
        try session.handle.ack(.upTo(1))
        fixture.advance(100)
        #expect(wakes.withLock { $0 } == 1)
        fixture.publish("alice")
        fixture.settle()
        try session.handle.ack(.upTo(2))
        fixture.advance(100)
        #expect(wakes.withLock { $0 } == 1)
        fixture.node.unwatch(watch)
        fixture.node.unwatch(foreign)
    }

    @Test func heartbeatsComeWhenNothingElseDoes() {
        let fixture = NodeFixture()
        let session = fixture.connect("alice", "a1")
        fixture.advance(24_000)
        #expect(session.client.heartbeats == 0)
        fixture.publish("alice")
        fixture.settle()
        fixture.advance(24_000)
        #expect(session.client.heartbeats == 0)
        fixture.advance(2_000)
        #expect(session.client.heartbeats == 1)
    }

    @Test func aClientThatIsSeenAndSilentIsClosed() {
        let fixture = NodeFixture()
        var hello = fixture.hello("alice", "a1")
        hello.seesClient = true
        let client = Recorder()
        let handle = fixture.node.open(hello, client: client, shard: 0)
        fixture.settle()
        fixture.advance(40_000)
        #expect(client.closed == nil)
        handle.heard()
        fixture.advance(49_000)
        #expect(client.closed == nil)
        fixture.advance(2_000)
        #expect(client.closed == .heartbeatTimeout)
        #expect(fixture.node.sessions == 0)
    }

    @Test func aSlowClientGetsTheRestOnceItsSocketTook() {
        let fixture = NodeFixture()
        let client = Recorder()
        client.takes = false
        let handle = fixture.node.open(fixture.hello("alice", "a1", ack: .none), client: client, shard: 0)
        fixture.settle()
        fixture.publish("alice", 200)
        fixture.settle()
        let first = client.messages.count
        #expect(first > 0 && first < 200)
        for _ in 0..<20 {
            handle.socketTook()
            fixture.settle()
        }
        #expect(client.messages.count == 200)
    }

    @Test func aFailedReadEndsTheSessionForAWhile() {
        let fixture = NodeFixture()
        fixture.publish("alice")
        fixture.store.cannotRead = true
        let client = fixture.connect("alice", "a1").client
        #expect(client.closed == .storeUnavailable)
        #expect(fixture.node.sessions == 0)
        fixture.store.cannotRead = false
        #expect(fixture.connect("alice", "a1").client.messages.count == 1)
    }

    @Test func sessionsAreCountedOutWhateverTheOrderOfTheirEnds() {
        let fixture = NodeFixture()
        var handles: [any SessionHandle] = []
        for round in 0..<50 {
            handles.append(
                fixture.node.open(fixture.hello("u\(round % 3)", round % 5 == 0 ? nil : "d\(round % 7)"), client: Recorder(), shard: round))
            if round % 2 == 0 { fixture.settle() }
            if round % 4 == 1 { handles[round / 2].clientClosed() }
        }
        for handle in handles.shuffled() {
            handle.clientClosed()
            handle.clientClosed()
        }
        fixture.settle()
        #expect(fixture.node.sessions == 0)
        // Nobody is left to be woken.
        let wakes = fixture.loops.map { $0.wakes.load(ordering: .relaxed) }
        for user in 0..<3 { fixture.publish("u\(user)") }
        #expect(fixture.loops.map { $0.wakes.load(ordering: .relaxed) } == wakes)
    }
}

import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Synchronization
import Testing

@Suite struct ExpiryTests {
    private func connect(_ fixture: NodeFixture, _ device: String?, ends: Int64, shard: Int = 0) -> (Recorder, any SessionHandle) {
        var hello = fixture.hello("alice", device)
        hello.expiresAtMs = fixture.clock.wall + ends
        let client = Recorder()
        let handle = fixture.node.open(hello, client: client, shard: shard)
        fixture.settle()
        return (client, handle)
    }

    @Test("A session ends when its token does, and tells when that is")
    func ends() {
        let fixture = NodeFixture()
        let (client, _) = self.connect(fixture, "a1", ends: 2_000)
        #expect(client.welcome?.expiresAtMs == fixture.clock.wall + 2_000)
        fixture.advance(1_900)
        #expect(client.closed == nil)
        fixture.advance(300)
        #expect(client.closed == .tokenExpired)
        #expect(client.retryAfterMs != nil)
        #expect(fixture.node.sessions == 0)
    }

    @Test("A token that ended while the session was opening ends it")
    func endedAlready() {
        let fixture = NodeFixture()
        let (client, _) = self.connect(fixture, "a1", ends: -1)
        fixture.advance(200)
        #expect(client.closed == .tokenExpired)
    }

    @Test("A renewed session goes on, heartbeats and all, and ends at its new time")
    func renewed() throws {
        let fixture = NodeFixture()
        let (client, handle) = self.connect(fixture, "a1", ends: 2_000)
        fixture.advance(1_000)
        try handle.renew(app: .dev, user: "alice", device: nil, expiresAtMs: fixture.clock.wall + 40_000, rights: .unsaid)
        fixture.advance(30_000)
        #expect(client.closed == nil && client.heartbeats == 1)
        handle.heard()
        fixture.advance(10_200)
        #expect(client.closed == .tokenExpired)
    }

    @Test("A token of somebody else renews nothing")
    func strangers() {
        let fixture = NodeFixture()
        let (_, handle) = self.connect(fixture, "a1", ends: 2_000)
        for (app, user, device) in [(AppID(2), "alice", nil), (.dev, "bob", nil), (.dev, "alice", "a2")] as [(AppID, String, String?)] {
            #expect(throws: WireError.self) { try handle.renew(app: app, user: user, device: device, expiresAtMs: nil, rights: .unsaid) }
        }
    }

    @Test("A session of any shard is renewed by its id", arguments: [0, 1])
    func byID(shard: Int) throws {
        let fixture = NodeFixture()
        // Without a device no other table knows it.
        let (client, _) = self.connect(fixture, nil, ends: 2_000, shard: shard)
        let id = try #require(client.welcome).session
        let answers = Mutex<[ErrorCode?]>([])
        for (session, user) in [(id, "bob"), ("x", "alice"), (id, "alice")] {
            fixture.node.renew(session: session, app: .dev, user: user, device: nil, expiresAtMs: nil, rights: .unsaid) { error in
                answers.withLock { $0.append(error?.code) }
            }
            fixture.settle()
        }
        #expect(answers.withLock { $0 } == [.sessionUnknown, .sessionUnknown, nil])
        fixture.advance(3_000)
        #expect(client.closed == nil)
    }

    @Test("Disconnecting ends a user's sessions on all shards, and no other's")
    func disconnect() {
        let fixture = NodeFixture()
        let alice = [fixture.connect("alice", "a1").client, fixture.connect("alice", "a2", shard: 1).client, fixture.connect("alice", nil).client]
        let bob = fixture.connect("bob", "b1", shard: 1).client
        let counts = Mutex<[Int]>([])
        for device in ["a2", nil, nil] {
            fixture.node.disconnect(app: .dev, user: "alice", device: device) { count in counts.withLock { $0.append(count) } }
            fixture.settle()
        }
        #expect(counts.withLock { $0 } == [1, 2, 0])
        #expect(alice.map(\.closed) == [.disconnected, .disconnected, .disconnected])
        #expect(bob.closed == nil)
    }

    @Test("An ack of another user's does not reach a live session")
    func foreignAck() throws {
        let fixture = NodeFixture()
        let (client, _) = fixture.connect("alice", "a1")
        fixture.publish("alice")
        fixture.settle()
        let cursor = try #require(client.messages.first).cursor
        let errors = Mutex<[ErrorCode?]>([])
        for user in ["bob", "alice"] {
            fixture.node.ack(cursor, app: .dev, user: user, device: "a1") { error in errors.withLock { $0.append(error?.code) } }
            fixture.settle()
        }
        #expect(errors.withLock { $0 } == [.forbidden, nil])
    }
}

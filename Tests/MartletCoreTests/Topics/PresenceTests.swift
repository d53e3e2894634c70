import MartletCore
import MartletTestSupport
import Testing

@Suite("Presence")
struct PresenceTests {
    private let room = TopicKey(app: .dev, name: "room")

    private func member(_ user: String?, _ device: String? = "d") -> PresenceMember { PresenceMember(user: user, device: device) }

    @Test("counts a member once, however many sessions it has")
    func sessions() {
        var table = PresenceTable()
        for _ in 0..<3 { table.join(self.room, self.member("a")) }
        table.join(self.room, self.member("a", "other"))
        #expect(table.count(of: self.room) == 2)
        table.leave(self.room, self.member("a"))
        table.leave(self.room, self.member("a"))
        #expect(table.count(of: self.room) == 2)
        table.leave(self.room, self.member("a"))
        #expect(table.count(of: self.room) == 1)
        #expect(table.page(of: self.room, limit: 10, after: nil).members == [self.member("a", "other")])
    }

    @Test("says in one event of a topic what has changed")
    func events() throws {
        var table = PresenceTable()
        let other = TopicKey(app: .dev, name: "other")
        table.join(self.room, self.member("a"))
        table.join(self.room, self.member("b"))
        table.join(other, self.member("a"))
        var events = table.takeEvents(listed: 10)
        #expect(events.count == 2)
        let first = try #require(events.first { $0.topic == self.room }?.event)
        #expect(first.joined == [self.member("a"), self.member("b")] && first.joinedCount == 2 && first.leftCount == 0 && first.count == 2)
        #expect(table.takeEvents(listed: 10).isEmpty)
        table.leave(self.room, self.member("a"))
        table.join(self.room, self.member("c"))
        events = table.takeEvents(listed: 10)
        let second = try #require(events.first?.event)
        #expect(events.count == 1 && second.joined == [self.member("c")] && second.left == [self.member("a")] && second.count == 2)
    }

    @Test("says nothing of who came and went, or went and came back, in between")
    func between() throws {
        var table = PresenceTable()
        table.join(self.room, self.member("stays"))
        _ = table.takeEvents(listed: 10)
        table.join(self.room, self.member("a"))
        table.leave(self.room, self.member("a"))
        table.leave(self.room, self.member("stays"))
        table.join(self.room, self.member("stays"))
        #expect(table.takeEvents(listed: 10).isEmpty)
        // Who came back is one who was there: leaving again is told.
        table.leave(self.room, self.member("stays"))
        let event = try #require(table.takeEvents(listed: 10).first?.event)
        #expect(event.left == [self.member("stays")] && event.count == 0 && table.topics == 0)
    }

    @Test("tells of 5,000 who come in one event that names some and counts all")
    func storm() throws {
        var table = PresenceTable()
        for number in 0..<5_000 { table.join(self.room, self.member("u\(number)")) }
        let events = table.takeEvents(listed: 100)
        let event = try #require(events.first?.event)
        #expect(events.count == 1 && event.joined.count == 100 && event.joinedCount == 5_000 && event.count == 5_000)
        for number in 0..<5_000 { table.leave(self.room, self.member("u\(number)")) }
        let last = try #require(table.takeEvents(listed: 100).first?.event)
        #expect(last.left.count == 100 && last.leftCount == 5_000 && last.joinedCount == 0 && last.count == 0)
        #expect(table.topics == 0)
    }

    @Test("counts each session without a name, and lists none of them")
    func nameless() throws {
        var table = PresenceTable()
        for _ in 0..<3 { table.join(self.room, self.member(nil, nil)) }
        table.join(self.room, self.member("a"))
        let event = try #require(table.takeEvents(listed: 10).first?.event)
        #expect(event.joined == [self.member("a")] && event.joinedCount == 4 && event.count == 4)
        #expect(table.page(of: self.room, limit: 10, after: nil) == PresencePage(members: [self.member("a")], count: 4, next: nil))
        table.leave(self.room, self.member(nil, nil))
        table.leave(self.room, self.member(nil, nil))
        let next = try #require(table.takeEvents(listed: 10).first?.event)
        #expect(next.left.isEmpty && next.leftCount == 2 && next.count == 2)
    }

    @Test("pages through all in order, once each", arguments: [1, 2, 7, 99, 100, 1_000, .max])
    func pages(_ limit: Int) {
        var table = PresenceTable()
        var members: [PresenceMember] = [self.member(nil, "x"), self.member("é"), self.member("e\u{301}"), self.member("a", nil)]
        for number in 0..<96 { members.append(self.member("u\(number % 10)", "d\(number)")) }
        for member in members.shuffled() { table.join(self.room, member) }
        var seen: [PresenceMember] = []
        var after: PresenceMember?
        repeat {
            let page = table.page(of: self.room, limit: limit, after: after)
            #expect(page.count == 100 && page.members.count <= limit)
            seen += page.members
            after = page.next
        } while after != nil && seen.count <= 100
        #expect(seen == members.sorted())
        #expect(table.page(of: self.room, limit: 0, after: nil) == PresencePage(members: [], count: 100, next: nil))
    }

    @Test("takes a leave of somebody who is not there for nothing")
    func strangers() {
        var table = PresenceTable()
        table.leave(self.room, self.member("a"))
        table.leave(self.room, self.member(nil, nil))
        #expect(table.topics == 0)
        table.join(self.room, self.member("a"))
        table.leave(self.room, self.member("b"))
        table.leave(self.room, self.member(nil, nil))
        #expect(table.count(of: self.room) == 1)
    }

    @Test("keeps as many pending names as is said, and counts right beyond")
    func pending() throws {
        var table = PresenceTable()
        let many = PresenceTable.pendingNames + 500
        for number in 0..<many { table.join(self.room, self.member("u\(number)")) }
        _ = table.takeEvents(listed: 1)
        for number in 0..<many { table.leave(self.room, self.member("u\(number)")) }
        for number in 0..<many { table.join(self.room, self.member("u\(number)")) }
        let event = try #require(table.takeEvents(listed: .max).first?.event)
        // Those beyond are told of twice; the rest not at all.
        #expect(event.joinedCount == 500 && event.leftCount == 500 && event.count == many)
    }

    @Test("agrees with a naive list over random histories", arguments: [UInt64(1), 2, 3])
    func random(_ seed: UInt64) {
        var dice = SeededRandom(seed: seed)
        var table = PresenceTable()
        var sessions: [PresenceMember] = []
        var before: Set<PresenceMember> = []
        for _ in 0..<20_000 {
            if Int.random(in: 0..<2, using: &dice) == 0 {
                let member = self.member("u\(Int.random(in: 0..<12, using: &dice))")
                sessions.append(member)
                table.join(self.room, member)
            } else if let index = sessions.indices.randomElement(using: &dice) {
                table.leave(self.room, sessions.remove(at: index))
            }
            let now = Set(sessions)
            #expect(table.count(of: self.room) == now.count)
            guard Int.random(in: 0..<5, using: &dice) == 0 else { continue }
            let event = table.takeEvents(listed: 100).first?.event
            #expect((event?.joined ?? []) == now.subtracting(before).sorted())
            #expect((event?.left ?? []) == before.subtracting(now).sorted())
            #expect(event?.joinedCount ?? 0 == now.subtracting(before).count && event?.leftCount ?? 0 == before.subtracting(now).count)
            before = now
        }
    }
}

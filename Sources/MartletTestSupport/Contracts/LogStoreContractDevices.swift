import MartletCore
import MartletWire

extension LogStoreContract {
    static let deviceCases: [Case] = [
        Case(name: "a new device starts at the oldest message and was sent nothing before") { fixture in
            try await fixture.publish("old")
            let record = try await fixture.open()
            try expectEqual(
                record, DeviceRecord(isNew: true, acked: Positions(), suspect: Positions(), end: fixture.store.end),
                "the record")
            try expectEqual(try await fixture.open().isNew, false, "the second opening knows it")
        },
        Case(name: "a new device from now starts at the end, for good") { fixture in
            try await fixture.publish("old")
            let record = try await fixture.open(fromNow: true)
            try expectEqual(record.acked, Positions(all: fixture.store.end), "it starts at the end")
            try expectEqual(record.suspect, Positions(), "it was sent nothing before")
            try await fixture.publish("new")
            let again = try await fixture.open(fromNow: true)
            try expectEqual(again.acked, record.acked, "only a new device starts from now")
            try expectEqual(try await fixture.texts(after: again.acked), ["new"], "what it has pending")
        },
        Case(name: "positions are seen at once and move only forward") { fixture in
            try await fixture.open()
            let user = Lane(.user, .high)
            let app = Lane(.app, .low)
            fixture.record(acked: Positions([user: 5, app: 3]), sent: Positions([user: 7]))
            let first = try await fixture.open()
            try expectEqual(first.acked, Positions([user: 5, app: 3]), "acked")
            try expectEqual(first.suspect, Positions([user: 7]), "sent is suspect")
            fixture.record(acked: Positions([user: 4, app: 9]), sent: Positions([user: 2, app: 9]))
            let second = try await fixture.open()
            try expectEqual(second.acked, Positions([user: 5, app: 9]), "acked never goes back")
            try expectEqual(second.suspect, Positions([user: 7, app: 9]), "sent never goes back")
        },
        Case(name: "another user's lanes start at 0, and everything of theirs is suspect") { fixture in
            try await fixture.publish("a1", to: [.user("alice", in: .dev)])
            try await fixture.publish("b1", to: [.user("bob", in: .dev)])
            try await fixture.open()
            let end = fixture.store.end
            fixture.record(acked: Positions(all: end), sent: Positions(all: end))
            let bob = try await fixture.open(user: "bob")
            try expect(bob.userChanged && !bob.isNew, "the user changed")
            for lane in Lane.all {
                try expectEqual(bob.acked[lane], lane.scope == .user ? 0 : end, "acked in lane \(lane.index)")
                try expectEqual(bob.suspect[lane], end, "suspect in lane \(lane.index)")
            }
            try expectEqual(
                try await fixture.texts(after: bob.acked, user: "bob"), ["b1"], "Bob's message is not skipped")
            let again = try await fixture.open(user: "bob")
            try expect(!again.userChanged, "it belongs to Bob now")
            try expectEqual(again.suspect, bob.suspect, "and stays suspect")
            let none = try await fixture.open(user: nil)
            try expect(none.userChanged, "to no user is a change, too")
        },
        Case(name: "an update for another user moves only the device's and the app's lanes") { fixture in
            try await fixture.open()
            fixture.record(user: "bob", acked: Positions(all: 4), sent: Positions(all: 6))
            let record = try await fixture.open()
            for lane in Lane.all {
                try expectEqual(record.acked[lane], lane.scope == .user ? 0 : 4, "acked in lane \(lane.index)")
                try expectEqual(record.suspect[lane], lane.scope == .user ? 0 : 6, "sent in lane \(lane.index)")
            }
        },
        Case(name: "sequence numbers stand for nothing in the inbox of another user") { fixture in
            try await fixture.open(reserve: 10)
            fixture.record(nextSeq: 3, marks: [SeqMark(seq: 2, positions: Positions(all: 5))])
            let bob = try await fixture.open(user: "bob", reserve: 10)
            for lane in Lane.all {
                let expected: [UInt64] = [lane.scope == .user ? 0 : 5]
                try expectEqual(bob.marks.map { $0.positions[lane] }, expected, "after the move, lane \(lane.index)")
            }
            fixture.record(nextSeq: 4, marks: [SeqMark(seq: 3, positions: Positions(all: 6))])
            let again = try await fixture.open(user: "bob")
            for lane in Lane.all {
                let expected: [UInt64] = [lane.scope == .user ? 0 : 6]
                try expectEqual(again.marks.map { $0.positions[lane] }, expected, "a late update, lane \(lane.index)")
            }
        },
        Case(name: "an update for an unknown device is ignored") { fixture in
            fixture.record("ghost", acked: Positions(all: 4))
            let record = try await fixture.open("ghost")
            try expect(record.isNew, "it was not created")
            try expectEqual(record.acked, Positions(), "and starts at 0")
        },
        Case(name: "devices of two apps with one name are two") { fixture in
            try await fixture.open()
            let other = DeviceOpening(
                device: DeviceKey(app: AppID(2), name: "phone"), user: "alice", fromNow: false, at: 1)
            try expect(try await fixture.store.openDevice(other).isNew, "the other app's is new")
        },
        Case(name: "sequence numbers are reserved in blocks and never given out twice") { fixture in
            let record = try await fixture.open(reserve: 10)
            try expectEqual(record.nextSeq, 1, "the first")
            try expect(record.seqEnd >= 11, "the block: \(record.seqEnd)")
            let key = DeviceKey(app: .dev, name: "phone")
            let end = try await fixture.store.reserve(100, for: key)
            try expect(end >= record.seqEnd + 100, "the next block: \(end)")
            let mark = SeqMark(seq: 7, positions: Positions([Lane(.user, .high): 3]))
            fixture.record(nextSeq: 8, marks: [mark])
            let again = try await fixture.open(reserve: 10)
            try expect(again.nextSeq >= 8, "used numbers are not used again: \(again.nextSeq)")
            try expect(again.seqEnd >= again.nextSeq + 10, "there is room for as many as asked")
            try expect(again.seqEnd >= end, "a reserved block stays reserved")
            try expectEqual(again.marks, [mark], "the marks")
            fixture.record()
            try expectEqual(try await fixture.open().marks, [mark], "an update without marks leaves them")
        },
        Case(name: "an opening knows what was appended before it") { fixture in
            let store = fixture.store
            for number in 0..<50 {
                let request = AppendRequest(app: .dev, targets: [.everyone(in: .dev)], members: Fixture.members("x"))
                async let appended = store.append([request])
                _ = await appended
                let record = try await fixture.open("d\(number)", user: nil, fromNow: true)
                try expectEqual(record.end, store.end, "the end")
                try expectEqual(record.acked, Positions(all: record.end), "from now")
            }
        },
    ]
}

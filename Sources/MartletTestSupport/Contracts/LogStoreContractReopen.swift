import MartletCore
import MartletWire

extension LogStoreContract {
    private static var three: Limits {
        var limits = Limits()
        limits.inboxMessages = 3
        return limits
    }

    static let reopenCases: [Case] = [
        Case(name: "everything is there after a stop", reopens: true) { fixture in
            try await fixture.open()
            let ids = try await fixture.publish("m1", "m2", "m3")
            try await fixture.publish("h1", priority: .high)
            try await fixture.publish("old", key: "k")
            try await fixture.publish("new", key: "k")
            _ = try await fixture.store.recall(ids[1], app: .dev)
            let keyed = fixture.keyed("once", key: "k", digest: [1])
            guard case .stored(let first, _)? = await fixture.store.append([keyed]).first else {
                throw Violation("not stored")
            }
            let lane = Lane(.user, .high)
            guard case .stored(let m1, _, _)? = fixture.commits.first else { throw Violation("nothing was announced") }
            fixture.record(
                acked: Positions([lane: 2]), sent: Positions([lane: 3]),
                journal: [
                    JournalRange(kind: .sent, lane: Lane(.user, .medium), from: m1.offset, to: m1.offset, at: 77)
                ],
                nextSeq: 9, marks: [SeqMark(seq: 8, positions: Positions(all: 1))])
            let before = try await fixture.texts()
            let (end, epoch) = (fixture.store.end, fixture.store.epoch)
            try await fixture.reopen()
            try expectEqual(fixture.store.end, end, "the end")
            try expectEqual(fixture.store.epoch, epoch, "a clean stop keeps the epoch")
            try expectEqual(try await fixture.texts(), before, "what is read")
            try expectEqual(before, ["h1", "m1", "m3", "new", "new", "once"], "which is")
            let record = try await fixture.open()
            try expect(!record.isNew, "the device is known")
            try expectEqual(record.acked, Positions([lane: 2]), "acked")
            try expectEqual(record.suspect, Positions([lane: 3]), "only what was sent is suspect after a clean stop")
            try expectEqual(record.nextSeq, 9, "the next sequence number")
            try expectEqual(record.marks, [SeqMark(seq: 8, positions: Positions(all: 1))], "the marks")
            try expectEqual(
                await fixture.store.append([keyed]), [.stored(first, repeated: true)], "the idempotency key")
            try expectEqual(try await fixture.status(ids[0]).devices.first?.sentAt, 77, "the journal")
        },
        Case(name: "ids and offsets go on growing after a restart, even if the wall clock went back", reopens: true) {
            fixture in
            let before = try await fixture.publish("a")
            let end = fixture.store.end
            fixture.clock.stepWall(milliseconds: -3_600_000)
            try await fixture.reopen()
            let after = try await fixture.publish("b")
            try expect(before[0] < after[0], "the id is larger")
            try expect(fixture.store.end > end, "the offset is larger")
            try expectEqual(try await fixture.texts(), ["a", "b"], "both are read, in order")
        },
        Case(name: "collapse, gaps and limits hold across a restart", limits: three, reopens: true) { fixture in
            try await fixture.publish("1", key: "k")
            try await fixture.publish("2", "3", "4")
            let gap = try await fixture.read().gaps
            try expectEqual(gap.count, 1, "a gap")
            try await fixture.reopen()
            try expectEqual(try await fixture.read().gaps, gap, "the same gap")
            try await fixture.publish("5", key: "k")
            try expectEqual(try await fixture.texts(), ["3", "4", "5"], "the limit counts what was there")
        },
    ]
}

import MartletCore
import Synchronization

/// What the writer shows the readers besides the database.
final class Shared: Sendable {
    let memtable: Mutex<Memtable>
    /// Device records that are newer than their rows.
    let devices = Mutex<[DeviceKey: DeviceState]>([:])
    /// Counts what the writer has shown; readers that found the database ahead of the memtable wait for the next.
    let published = Monitor(Published())

    struct Published: Sendable {
        var count: UInt64 = 0
        var waiting = 0
    }

    /// Whether the last commit went well.
    let isWritable = Atomic<Bool>(true)
    /// Messages that have not expired, for the metrics; an estimate after an unclean stop.
    let messages: Atomic<Int>
    /// Everything up to here was in the log when it last stopped uncleanly; 0 if it never did.
    let uncleanEnd: UInt64
    let uncleanRun: Int64
    /// Counts the starts of this store.
    let run: Int64

    init(memtable: Memtable, uncleanEnd: UInt64, uncleanRun: Int64, run: Int64, messages: Int) {
        self.messages = Atomic(messages)
        self.memtable = Mutex(memtable)
        self.uncleanEnd = uncleanEnd
        self.uncleanRun = uncleanRun
        self.run = run
    }
}

/// A device's record as it stands, with what is not written yet. Replaced as a whole, so that it can be shared.
final class DeviceState: Sendable {
    struct Values: Sendable {
        var id: Int64
        var user: String?
        var acked: Positions
        var sent: Positions
        var seen: Int64
        var nextSeq: UInt64
        var seqEnd: UInt64
        var marks: [SeqMark]
        /// When it was first seen, and when it was bound to its user, by the server's clock.
        var created: Int64
        var bound: Int64
        /// Not written yet, oldest first.
        var journal: [JournalRange] = []
        /// How far its own inbox has been trimmed by ack.
        var trimmed = Positions()
    }

    let values: Values

    init(_ values: Values) { self.values = values }

    /// Reads the columns `id, user, acked, sent, run, seen, next_seq, seq_end, marks, created, bound`.
    static func read(_ row: Statement, shared: Shared) -> Values {
        var acked = row.bytes(2)[...]
        var sent = row.bytes(3)[...]
        var values = Values(
            id: row.integer(0), user: row.text(1), acked: Codec.positions(&acked) ?? Positions(),
            sent: Codec.positions(&sent) ?? Positions(), seen: row.integer(5), nextSeq: row.unsigned(6),
            seqEnd: row.unsigned(7), marks: Codec.marks(row.bytes(8)) ?? [], created: row.integer(9),
            bound: row.integer(10))
        values.trimmed = values.acked
        if row.integer(4) <= shared.uncleanRun {
            // The last positions before that stop may never have been written.
            values.sent.advance(to: Positions(all: shared.uncleanEnd))
            values.nextSeq = max(values.nextSeq, values.seqEnd)
        }
        return values
    }

    static let columns = "id, user, acked, sent, run, seen, next_seq, seq_end, marks, created, bound"
}

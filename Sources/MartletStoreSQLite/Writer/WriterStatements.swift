/// What the writer runs again and again.
struct WriterStatements {
    let begin, commit, rollback: Statement
    let insertMessage, insertBody, insertInbox, selectInbox, selectStats: Statement
    let selectKey, insertKey, selectCollapse, upsertCollapse, insertSuperseded, deleteSuperseded: Statement
    let messageAt, messageFrom, setFlags, hasMessage: Statement
    let insertEntry, insertExpiry, setMeta, upsertSession, deleteSession: Statement
    let laneHead, deleteLane, laneStats, upsertTrim, expiredEntries, deleteEntry: Statement
    let dueExpiries, deleteExpiry, messageTargets, deleteBody, deleteMessage: Statement
    let selectDevice, countDevices, insertDevice, updateDevice, insertJournal, deleteUserJournal: Statement
    let sweepKeys, dropKeys, sweepCollapse, sweepTrim, sweepDevices, deleteDevice, deleteJournal, trimJournal,
        firstMessage: Statement

    init(_ db: Connection) throws {
        self.begin = try db.prepare("BEGIN IMMEDIATE")
        self.commit = try db.prepare("COMMIT")
        self.rollback = try db.prepare("ROLLBACK")
        self.insertMessage = try db.prepare(
            """
            INSERT INTO message (offset, high, low, app, flags, priority, at, expires, size, collapse, targets, marks)
            VALUES (?,?,?,?,?,?,?,?,?,?,?,?)
            """
        )
        self.insertBody = try db.prepare("INSERT INTO body (offset, fragment) VALUES (?,?)")
        self.insertInbox = try db.prepare("INSERT INTO inbox (app, scope, name) VALUES (?,?,?) RETURNING id")
        self.selectInbox = try db.prepare("SELECT id FROM inbox WHERE app = ? AND scope = ? AND name = ?")
        self.selectStats = try db.prepare("SELECT count(*), sum(size) FROM entry WHERE inbox = ? AND offset <= ?")
        self.selectKey = try db.prepare(
            "SELECT digest, high, low, expires FROM idempotency WHERE app = ? AND key = ?")
        self.insertKey = try db.prepare(
            "INSERT OR REPLACE INTO idempotency (app, key, digest, high, low, expires) VALUES (?,?,?,?,?,?)")
        self.selectCollapse = try db.prepare("SELECT offset, until FROM collapse WHERE inbox = ? AND key = ?")
        self.insertSuperseded = try db.prepare("INSERT OR IGNORE INTO superseded (offset, inbox, at) VALUES (?,?,?)")
        self.deleteSuperseded = try db.prepare("DELETE FROM superseded WHERE offset = ?")
        self.upsertCollapse = try db.prepare(
            """
            INSERT INTO collapse (inbox, key, offset, until) VALUES (?,?,?,?)
            ON CONFLICT DO UPDATE SET offset = excluded.offset, until = max(until, excluded.until)
            """)
        self.messageAt = try db.prepare("SELECT app, flags, expires, targets, topic FROM message WHERE offset = ?")
        self.messageFrom = try db.prepare(MessageSearch.sql)
        self.setFlags = try db.prepare("UPDATE message SET flags = ?, recalled_at = ? WHERE offset = ?")
        self.hasMessage = try db.prepare("SELECT 1 FROM message WHERE offset = ?")
        self.insertEntry = try db.prepare(
            "INSERT OR REPLACE INTO entry (inbox, priority, offset, size, expires) VALUES (?,?,?,?,?)")
        self.insertExpiry = try db.prepare("INSERT OR IGNORE INTO expiry (at, offset, stage) VALUES (?,?,?)")
        self.setMeta = try db.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES (?,?)")
        self.upsertSession = try db.prepare(
            """
            INSERT INTO session (app, name, settings, state) VALUES (?1, ?2, ifnull(?3, x''), ifnull(?4, x''))
            ON CONFLICT DO UPDATE SET settings = ifnull(?3, settings), state = ifnull(?4, state)
            """)
        self.deleteSession = try db.prepare("DELETE FROM session WHERE app = ? AND name = ?")
        self.laneHead = try db.prepare(
            """
            SELECT e.offset, e.size, e.expires, m.flags, m.collapse
            FROM entry e CROSS JOIN message m ON m.offset = e.offset
            WHERE e.inbox = ? AND e.priority = ? AND e.offset <= ? ORDER BY e.offset LIMIT 1000
            """
        )
        self.deleteLane = try db.prepare("DELETE FROM entry WHERE inbox = ? AND priority = ? AND offset <= ?")
        self.laneStats = try db.prepare(
            "SELECT count(*), sum(size) FROM entry WHERE inbox = ? AND priority = ? AND offset <= ?")
        self.upsertTrim = try db.prepare(
            """
            INSERT INTO trim (inbox, priority, upto, until) VALUES (?,?,?,?)
            ON CONFLICT DO UPDATE SET upto = excluded.upto, until = max(until, excluded.until)
            """)
        self.expiredEntries = try db.prepare(
            "SELECT priority, offset, size FROM entry WHERE inbox = ? AND expires <= ? AND offset <= ?")
        self.deleteEntry = try db.prepare("DELETE FROM entry WHERE inbox = ? AND priority = ? AND offset = ?")
        self.dueExpiries = try db.prepare(
            "SELECT at, offset, stage FROM expiry WHERE at <= ? ORDER BY at, offset LIMIT ?")
        self.deleteExpiry = try db.prepare("DELETE FROM expiry WHERE at = ? AND offset = ?")
        self.messageTargets = try db.prepare("SELECT priority, size, targets, topic, born, expires, flags FROM message WHERE offset = ?")
        self.deleteBody = try db.prepare("DELETE FROM body WHERE offset = ?")
        self.deleteMessage = try db.prepare("DELETE FROM message WHERE offset = ?")
        self.selectDevice = try db.prepare("SELECT \(DeviceState.columns) FROM device WHERE app = ? AND name = ?")
        self.countDevices = try db.prepare("SELECT count(*) FROM device WHERE app = ? AND user = ?")
        self.insertDevice = try db.prepare(
            """
            INSERT INTO device (app, name, user, acked, sent, run, seen, next_seq, seq_end, marks, created, bound)
            VALUES (?,?,?,?,?,?,?,?,?,?,?,?)
            """)
        self.updateDevice = try db.prepare(
            """
            UPDATE device SET user = ?, acked = ?, sent = ?, run = ?, seen = ?, next_seq = ?, seq_end = ?, marks = ?,
            bound = ?
            WHERE id = ?
            """)
        self.insertJournal = try db.prepare(
            """
            INSERT INTO journal (device, kind, lane, upto, start, at) VALUES (?,?,?,?,?,?)
            ON CONFLICT DO UPDATE SET start = min(start, excluded.start), at = min(at, excluded.at)
            """)
        self.deleteUserJournal = try db.prepare("DELETE FROM journal WHERE device = ? AND kind = ? AND lane < 3")
        self.sweepKeys = try db.prepare(
            """
            DELETE FROM idempotency WHERE (app, key) IN (
            SELECT app, key FROM idempotency WHERE app = ? AND expires <= ? ORDER BY expires LIMIT ?)
            """)
        self.dropKeys = try db.prepare(
            """
            DELETE FROM idempotency WHERE (app, key) IN (
            SELECT app, key FROM idempotency WHERE app = ? AND key IS NOT ? ORDER BY expires LIMIT ?)
            """)
        self.sweepCollapse = try db.prepare(
            """
            DELETE FROM collapse WHERE (inbox, key) IN (
            SELECT inbox, key FROM collapse WHERE until <= ? ORDER BY until LIMIT 200)
            """)
        self.sweepTrim = try db.prepare(
            """
            DELETE FROM trim WHERE (inbox, priority) IN (
            SELECT inbox, priority FROM trim WHERE until <= ? ORDER BY until LIMIT 200)
            """)
        self.sweepDevices = try db.prepare("SELECT id, app, name, seen FROM device WHERE id > ? ORDER BY id LIMIT 100")
        self.deleteDevice = try db.prepare("DELETE FROM device WHERE id = ?")
        self.deleteJournal = try db.prepare("DELETE FROM journal WHERE device = ?")
        self.trimJournal = try db.prepare("DELETE FROM journal WHERE device = ? AND upto < ?")
        self.firstMessage = try db.prepare("SELECT min(offset) FROM message")
    }
}

/// What the writer runs for topics.
struct TopicStatements {
    let insertMessage, selectTopic, selectState, insertTopic, updateTopic: Statement
    let count, heads, expired, hasEntry, insertEntry, updateDue, deleteEntry, countUpTo: Statement
    let selectRetained, isRetained, upsertRetained, deleteRetained, deleteRetainedAt: Statement
    let dirty, garbage, setClean, sweep, deleteTopic, floor, raiseFloor: Statement

    init(_ db: Connection) throws {
        self.insertMessage = try db.prepare(
            """
            INSERT INTO message (offset, high, low, app, flags, priority, at, expires, size, targets, topic, born, state, marks)
            VALUES (?,?,?,?,?,?,?,?,?,x'',?,?,?,?)
            """)
        self.selectTopic = try db.prepare("SELECT \(TopicRow.columns) FROM topic WHERE app = ? AND name = ?")
        self.selectState = try db.prepare("SELECT \(TopicRow.columns) FROM topic WHERE id = ?")
        self.insertTopic = try db.prepare(
            """
            INSERT INTO topic (app, name, messages, seconds, bytes, as_of, upto, lost, dirty, touched)
            VALUES (?,?,0,0,0,0,?,?,0,?) RETURNING id
            """)
        self.updateTopic = try db.prepare(
            """
            UPDATE topic SET messages = ?1, seconds = ?2, bytes = ?3, as_of = ?4, dirty = max(dirty, upto < ?5, ?9), upto = ?5, lost = ?6,
            touched = ?7 WHERE id = ?8
            """)
        self.count = try db.prepare(
            "SELECT count(*), sum(size), min(born) FROM topic_entry WHERE topic = ? AND offset > ? AND offset <= ?")
        self.heads = try db.prepare(
            "SELECT offset, size, born, expires FROM topic_entry WHERE topic = ? AND offset > ? AND offset <= ? ORDER BY offset")
        self.expired = try db.prepare(
            "SELECT offset, size, due FROM topic_entry WHERE topic = ? AND offset > ? AND offset <= ? AND expires <= ? LIMIT 1000")
        self.hasEntry = try db.prepare("SELECT 1 FROM topic_entry WHERE topic = ? LIMIT 1")
        self.insertEntry = try db.prepare(
            "INSERT OR REPLACE INTO topic_entry (topic, offset, size, born, expires, due) VALUES (?,?,?,?,?,?)")
        self.updateDue = try db.prepare("UPDATE topic_entry SET due = ? WHERE topic = ? AND offset = ?")
        self.deleteEntry = try db.prepare("DELETE FROM topic_entry WHERE topic = ? AND offset = ?")
        self.countUpTo = try db.prepare(
            "SELECT count(*), sum(size) FROM topic_entry WHERE topic = ? AND offset > ? AND offset <= ?")
        self.selectRetained = try db.prepare("SELECT offset, expires FROM retained WHERE topic = ?")
        self.isRetained = try db.prepare("SELECT 1 FROM retained WHERE topic = ? AND offset = ?")
        self.upsertRetained = try db.prepare(
            """
            INSERT OR REPLACE INTO retained (topic, app, name, offset, high, low, priority, at, expires, fragment, marks)
            VALUES (?,?,?,?,?,?,?,?,?,?,?)
            """)
        self.deleteRetained = try db.prepare("DELETE FROM retained WHERE topic = ?")
        self.deleteRetainedAt = try db.prepare("DELETE FROM retained WHERE topic = ? AND offset = ?")
        self.dirty = try db.prepare("SELECT id, upto FROM topic WHERE dirty = 1 LIMIT ?")
        self.garbage = try db.prepare(
            "SELECT offset, due, expires FROM topic_entry WHERE topic = ? AND offset <= ? ORDER BY offset LIMIT ?")
        self.setClean = try db.prepare("UPDATE topic SET dirty = 0 WHERE id = ?")
        self.sweep = try db.prepare("SELECT id, app, name, lost, touched FROM topic WHERE id > ? ORDER BY id LIMIT 100")
        self.deleteTopic = try db.prepare("DELETE FROM topic WHERE id = ?")
        self.floor = try db.prepare("SELECT upto FROM topic_floor WHERE app = ?")
        self.raiseFloor = try db.prepare(
            """
            INSERT INTO topic_floor (app, upto) VALUES (?,?) ON CONFLICT DO UPDATE SET upto = max(upto, excluded.upto)
            """)
    }
}

extension Migrations {
    /// Topics.
    ///
    /// A topic's message is a row of `message` with the topic's id, the time it was stored by the server's clock (`born`) and the
    /// topic's state after it (see ``TopicState``); `topic` and `topic_entry` follow behind up to `meta.indexed`. What a topic
    /// keeps are its entries after `upto`; those before are deleted in the background (`dirty`). Ids of topics are never used again.
    static let topics = """
        ALTER TABLE message ADD COLUMN topic INTEGER;
        ALTER TABLE message ADD COLUMN born INTEGER;
        ALTER TABLE message ADD COLUMN state BLOB;
        CREATE INDEX message_topic ON message (app, offset, topic) WHERE topic IS NOT NULL;
        CREATE TABLE topic (
            id INTEGER PRIMARY KEY AUTOINCREMENT, app INTEGER NOT NULL, name TEXT NOT NULL, messages INTEGER NOT NULL,
            seconds INTEGER NOT NULL, bytes INTEGER NOT NULL, as_of INTEGER NOT NULL, upto INTEGER NOT NULL,
            lost INTEGER NOT NULL, dirty INTEGER NOT NULL, touched INTEGER NOT NULL, UNIQUE (app, name));
        CREATE INDEX topic_dirty ON topic (id) WHERE dirty = 1;
        CREATE INDEX topic_lost ON topic (app, lost) WHERE lost > 0;
        CREATE TABLE topic_entry (
            topic INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL, born INTEGER NOT NULL,
            expires INTEGER NOT NULL, due INTEGER NOT NULL, PRIMARY KEY (topic, offset)) WITHOUT ROWID;
        CREATE TABLE retained (
            topic INTEGER PRIMARY KEY, app INTEGER NOT NULL, name TEXT NOT NULL, offset INTEGER NOT NULL,
            high INTEGER NOT NULL, low INTEGER NOT NULL, priority INTEGER NOT NULL, at INTEGER NOT NULL,
            expires INTEGER NOT NULL, fragment BLOB NOT NULL);
        CREATE UNIQUE INDEX retained_name ON retained (app, name);
        CREATE TABLE topic_floor (app INTEGER PRIMARY KEY, upto INTEGER NOT NULL)
        """
}

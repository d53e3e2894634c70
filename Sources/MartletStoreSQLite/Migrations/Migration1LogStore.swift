extension Migrations {
    /// The log store. An inbox id stands for app, scope and name, so the app leads every key.
    ///
    /// `message` is append-only and kept until its reports expire; `body` goes at the expiry; `entry` and `expiry`
    /// follow behind (see ``Indexer``) up to `meta.indexed`. The newest message row is never deleted: offsets go on
    /// from it.
    static let logStore = """
        CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
        CREATE TABLE inbox (
            id INTEGER PRIMARY KEY, app INTEGER NOT NULL, scope INTEGER NOT NULL, name TEXT NOT NULL,
            UNIQUE (app, scope, name));
        CREATE TABLE message (
            offset INTEGER PRIMARY KEY, high INTEGER NOT NULL, low INTEGER NOT NULL, app INTEGER NOT NULL,
            flags INTEGER NOT NULL, priority INTEGER NOT NULL, at INTEGER NOT NULL, expires INTEGER NOT NULL,
            size INTEGER NOT NULL, collapse TEXT, targets BLOB NOT NULL, recalled_at INTEGER);
        CREATE TABLE body (offset INTEGER PRIMARY KEY, fragment BLOB NOT NULL);
        CREATE TABLE entry (
            inbox INTEGER NOT NULL, priority INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL,
            expires INTEGER NOT NULL, PRIMARY KEY (inbox, priority, offset)) WITHOUT ROWID;
        CREATE TABLE expiry (
            at INTEGER NOT NULL, offset INTEGER NOT NULL, stage INTEGER NOT NULL,
            PRIMARY KEY (at, offset)) WITHOUT ROWID;
        CREATE TABLE collapse (
            inbox INTEGER NOT NULL, key TEXT NOT NULL, offset INTEGER NOT NULL, until INTEGER NOT NULL,
            PRIMARY KEY (inbox, key)) WITHOUT ROWID;
        CREATE INDEX collapse_until ON collapse (until);
        CREATE TABLE superseded (
            offset INTEGER NOT NULL, inbox INTEGER NOT NULL, at INTEGER NOT NULL,
            PRIMARY KEY (offset, inbox)) WITHOUT ROWID;
        CREATE TABLE idempotency (
            app INTEGER NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, high INTEGER NOT NULL, low INTEGER NOT NULL,
            expires INTEGER NOT NULL, PRIMARY KEY (app, key)) WITHOUT ROWID;
        CREATE INDEX idempotency_expires ON idempotency (expires);
        CREATE TABLE trim (
            inbox INTEGER NOT NULL, priority INTEGER NOT NULL, upto INTEGER NOT NULL, until INTEGER NOT NULL,
            PRIMARY KEY (inbox, priority)) WITHOUT ROWID;
        CREATE INDEX trim_until ON trim (until);
        CREATE TABLE device (
            id INTEGER PRIMARY KEY, app INTEGER NOT NULL, name TEXT NOT NULL, user TEXT, acked BLOB NOT NULL,
            sent BLOB NOT NULL, run INTEGER NOT NULL, seen INTEGER NOT NULL, next_seq INTEGER NOT NULL,
            seq_end INTEGER NOT NULL, marks BLOB NOT NULL, created INTEGER NOT NULL, bound INTEGER NOT NULL,
            UNIQUE (app, name));
        CREATE INDEX device_user ON device (app, user, name) WHERE user IS NOT NULL;
        CREATE TABLE journal (
            device INTEGER NOT NULL, kind INTEGER NOT NULL, lane INTEGER NOT NULL, upto INTEGER NOT NULL,
            start INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (device, kind, lane, upto)) WITHOUT ROWID
        """
}

extension Migrations {
    /// Records of sessions that are kept, and what publishers said of messages (``MessageMarks``).
    ///
    /// Marks have a column: 0 takes one byte, in the row's header, while the bits left in `flags` are too few for them.
    static let sessions = """
        CREATE TABLE session (
            app INTEGER NOT NULL, name TEXT NOT NULL, settings BLOB NOT NULL, state BLOB NOT NULL,
            PRIMARY KEY (app, name)) WITHOUT ROWID;
        ALTER TABLE message ADD COLUMN marks INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE retained ADD COLUMN marks INTEGER NOT NULL DEFAULT 0
        """
}

import GRDBSQLite
package import MartletCore

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The file of apps, keys, revocations and namespaces, for one thread at a time. Another process may have it open (docs/decisions/0008).
package struct DirectoryFile: ~Copyable {
    package static let fileName = "directory.db"
    /// The app that is always there.
    package static let defaultApp = "default"

    let db: Connection

    /// Opens the file in a data folder; makes both if they are not there.
    ///
    /// - Throws: one sentence for the operator.
    package init(folder: String) throws(StoreStartError) {
        let path = folder + "/" + Self.fileName
        try FolderLock.makeFolder(folder)
        do {
            let db = try Connection(path: path)
            try db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
            try Self.migrate(db)
            self.db = db
        } catch let error as StoreStartError {
            throw error
        } catch let error as SQLiteError where [SQLITE_NOTADB, SQLITE_CORRUPT].contains(error.primaryCode) {
            throw StoreStartError("The file of keys \(path) is damaged (\(error)): restore a backup, or move it away and create the keys anew.")
        } catch {
            throw StoreStartError("The file of keys \(path) cannot be opened: \(error).")
        }
        Self.giveToOwner(of: folder, path)
    }

    /// What root makes belongs to whom the folder belongs to: the server that runs as that user must be able to write it.
    private static func giveToOwner(of folder: String, _ path: String) {
        chmod(path, 0o600)
        var info = stat()
        guard geteuid() == 0, stat(folder, &info) == 0, info.st_uid != 0 else { return }
        for name in [path, path + "-wal", path + "-shm"] { chown(name, info.st_uid, info.st_gid) }
    }

    // MARK: Schema

    /// Step n brings the file from `user_version` n to n + 1. A step is never edited after a release.
    private static let steps = [
        """
        CREATE TABLE app (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL);
        INSERT INTO app VALUES (1, '\(defaultApp)', 0);
        CREATE TABLE key (
            id TEXT PRIMARY KEY, app INTEGER NOT NULL, name TEXT NOT NULL, scopes INTEGER NOT NULL, hash BLOB NOT NULL,
            created INTEGER NOT NULL, expires INTEGER, revoked INTEGER) WITHOUT ROWID;
        CREATE TABLE revocation (
            app INTEGER NOT NULL, user TEXT NOT NULL, device TEXT NOT NULL, before INTEGER NOT NULL,
            PRIMARY KEY (app, user, device)) WITHOUT ROWID
        """,
        """
        CREATE TABLE namespace (
            app INTEGER NOT NULL, name TEXT NOT NULL, messages INTEGER, age INTEGER, bytes INTEGER, storage TEXT, presence INTEGER,
            subscribe TEXT, publish TEXT, PRIMARY KEY (app, name)) WITHOUT ROWID
        """,
    ]

    private static func migrate(_ db: Connection) throws {
        guard try db.integer("PRAGMA user_version") ?? 0 != Int64(Self.steps.count) else { return }
        try db.execute("BEGIN IMMEDIATE")
        let version = Int(try db.integer("PRAGMA user_version") ?? 0)
        guard version <= Self.steps.count else {
            throw StoreStartError(
                "The file of keys was written by a newer Martlet (schema \(version), this one knows \(Self.steps.count)): use that version."
            )
        }
        for step in Self.steps.dropFirst(version) { try db.execute(step) }
        try db.execute("PRAGMA user_version = \(Self.steps.count); COMMIT")
    }

    // MARK: Apps

    package struct App: Equatable, Sendable {
        package var id: AppID
        package var name: String
        /// Unix time in milliseconds; 0 for the default one.
        package var createdAtMs: Int64
    }

    /// - Throws: one sentence for the operator, as all below.
    package func apps() throws(StoreStartError) -> [App] {
        try self.guarded {
            let select = try self.db.prepare("SELECT id, name, created FROM app ORDER BY id")
            var apps: [App] = []
            while try select.step() {
                let id = AppID(UInt32(truncatingIfNeeded: select.integer(0)))
                apps.append(App(id: id, name: select.text(1) ?? "", createdAtMs: select.integer(2)))
            }
            return apps
        }
    }

    /// - Returns: false if there is one of this name.
    package func createApp(_ name: String, atMs: Int64) throws(StoreStartError) -> Bool {
        try self.guarded {
            let insert = try self.db.prepare("INSERT OR IGNORE INTO app (name, created) VALUES (?,?)")
            insert.bind(1, name)
            insert.bind(2, atMs)
            try insert.run()
            return insert.changes > 0
        }
    }

    // MARK: Keys

    package func keys() throws(StoreStartError) -> [KeyRecord] {
        try self.guarded {
            let select = try self.db.prepare(
                "SELECT id, app, name, scopes, hash, created, expires, revoked FROM key ORDER BY created, id")
            var keys: [KeyRecord] = []
            while try select.step() {
                keys.append(
                    KeyRecord(
                        id: select.text(0) ?? "", app: AppID(UInt32(truncatingIfNeeded: select.integer(1))),
                        name: select.text(2) ?? "", scopes: KeyScopes(rawValue: UInt8(truncatingIfNeeded: select.integer(3))),
                        hash: select.bytes(4), createdAtMs: select.integer(5),
                        expiresAtMs: select.isNull(6) ? nil : select.integer(6),
                        revokedAtMs: select.isNull(7) ? nil : select.integer(7)))
            }
            return keys
        }
    }

    package func insert(_ key: KeyRecord) throws(StoreStartError) {
        try self.guarded {
            let insert = try self.db.prepare("INSERT INTO key (id, app, name, scopes, hash, created, expires) VALUES (?,?,?,?,?,?,?)")
            insert.bind(1, key.id)
            insert.bind(2, Int64(key.app.rawValue))
            insert.bind(3, key.name)
            insert.bind(4, Int64(key.scopes.rawValue))
            insert.bind(5, key.hash)
            insert.bind(6, key.createdAtMs)
            if let expires = key.expiresAtMs { insert.bind(7, expires) }
            try insert.run()
        }
    }

    /// - Returns: false if there is no such key that is not revoked.
    package func revokeKey(_ id: String, atMs: Int64) throws(StoreStartError) -> Bool {
        try self.guarded {
            let update = try self.db.prepare("UPDATE key SET revoked = ? WHERE id = ? AND revoked IS NULL")
            update.bind(1, atMs)
            update.bind(2, id)
            try update.run()
            return update.changes > 0
        }
    }

    // MARK: Revocations of tokens

    struct Revocation: Hashable, Sendable {
        var app: AppID
        var user: String
        /// Empty for all of the user's.
        var device: String

        static func == (left: Revocation, right: Revocation) -> Bool {
            left.app == right.app && isSameName(left.user, right.user) && isSameName(left.device, right.device)
        }
    }

    func revocations() throws(StoreStartError) -> [Revocation: Int64] {
        try self.guarded {
            let select = try self.db.prepare("SELECT app, user, device, before FROM revocation")
            var revocations: [Revocation: Int64] = [:]
            while try select.step() {
                let app = AppID(UInt32(truncatingIfNeeded: select.integer(0)))
                revocations[Revocation(app: app, user: select.text(1) ?? "", device: select.text(2) ?? "")] = select.integer(3)
            }
            return revocations
        }
    }

    func revoke(_ revocation: Revocation, beforeMs: Int64) throws(StoreStartError) {
        try self.guarded {
            let insert = try self.db.prepare(
                "INSERT INTO revocation VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET before = max(before, excluded.before)")
            insert.bind(1, Int64(revocation.app.rawValue))
            insert.bind(2, revocation.user)
            insert.bind(3, revocation.device)
            insert.bind(4, beforeMs)
            try insert.run()
        }
    }

    /// Changes when another connection has changed the file.
    func version() -> Int64? { try? self.db.integer("PRAGMA data_version") }

    func guarded<Result>(_ body: () throws -> Result) throws(StoreStartError) -> Result {
        do {
            return try body()
        } catch {
            throw StoreStartError("The file of keys cannot be used: \(error).")
        }
    }
}

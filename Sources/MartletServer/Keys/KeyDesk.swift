import MartletAccess
package import MartletCore
import MartletStoreSQLite

/// Apps and API keys of a data folder, for the command line. Works beside a running server, which notices at once.
package struct KeyDesk: ~Copyable {
    private let file: DirectoryFile
    private let nowMs: Int64

    /// Opens the folder; makes it if there is none.
    ///
    /// - Throws: one sentence for the operator, as all below.
    package init(folder: String) throws {
        self.file = try DirectoryFile(folder: folder)
        self.nowMs = ServerClock.wallMs()
    }

    /// Whether keys were ever made in the folder, or a server ran on it.
    package static func exists(in folder: String) -> Bool { TextFile.exists(folder + "/" + DirectoryFile.fileName) }

    /// Names of scopes with commas between them; nil if one is unknown.
    package static func scopes(_ names: String) -> KeyScopes? { KeyScopes(names: names) }

    // MARK: Apps

    package struct App: Sendable {
        package var name: String
        /// Unix time in milliseconds; 0 for the default one.
        package var createdAtMs: Int64
        package var keys: Int
    }

    package func apps() throws -> [App] {
        let keys = try self.file.keys()
        return try self.file.apps().map { app in
            App(
                name: app.name, createdAtMs: app.createdAtMs,
                keys: keys.count { $0.app == app.id && $0.state(at: self.nowMs) == .good })
        }
    }

    package func createApp(_ name: String) throws {
        if let problem = nameProblem(name, limit: 64) { throw StartError("The app's name \(problem).") }
        guard name.utf8.allSatisfy({ Self.isPlain($0) }) else {
            throw StartError("The app's name may have letters, digits, '-' and '_'.")
        }
        guard try self.file.createApp(name, atMs: self.nowMs) else { throw StartError("There is an app \(name) already.") }
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    // MARK: Keys

    package struct Key: Sendable {
        package enum State: String, Sendable { case good, expired, revoked }

        package var id: String
        package var app: String
        package var name: String
        package var scopes: [String]
        package var state: State
        /// Unix times in milliseconds.
        package var createdAtMs: Int64
        package var expiresAtMs: Int64?
        package var revokedAtMs: Int64?
    }

    package func keys() throws -> [Key] {
        let names = Dictionary(uniqueKeysWithValues: try self.file.apps().map { ($0.id, $0.name) })
        return try self.file.keys().map { key in
            Key(
                id: key.id, app: names[key.app] ?? "?", name: key.name, scopes: key.scopes.names,
                state: key.state(at: self.nowMs), createdAtMs: key.createdAtMs, expiresAtMs: key.expiresAtMs,
                revokedAtMs: key.revokedAtMs)
        }
    }

    /// - Parameter seconds: until it ends; nil for never.
    /// - Returns: the key's text, which is nowhere else.
    package func createKey(app name: String, label: String, scopes: KeyScopes, seconds: Int64?) throws -> (id: String, text: String) {
        let apps = try self.file.apps()
        guard let app = apps.first(where: { $0.name == name }) else {
            throw StartError(
                "There is no app \(name): there are \(apps.map(\.name).joined(separator: ", ")). Create it with martlet app create \(name).")
        }
        if !label.isEmpty, let problem = nameProblem(label, limit: 256) { throw StartError("The key's name \(problem).") }
        let key = APIKey()
        try self.file.insert(
            KeyRecord(
                id: key.id, app: app.id, name: label, scopes: scopes, hash: key.hash, createdAtMs: self.nowMs,
                expiresAtMs: seconds.map { self.nowMs + $0 * 1_000 }))
        return (key.id, key.text)
    }

    /// - Parameter id: the key's public name; the whole key does too.
    package func revokeKey(_ id: String) throws {
        let id = APIKey(id)?.id ?? id
        guard let key = try self.file.keys().first(where: { $0.id == id }) else {
            throw StartError("There is no key \(id): martlet key list shows them.")
        }
        guard try key.revokedAtMs == nil && self.file.revokeKey(id, atMs: self.nowMs) else {
            throw StartError("The key \(id) was revoked before.")
        }
    }
}

extension KeyRecord {
    fileprivate func state(at nowMs: Int64) -> KeyDesk.Key.State {
        if self.revokedAtMs != nil { return .revoked }
        return self.expiresAtMs.map { $0 <= nowMs } ?? false ? .expired : .good
    }
}

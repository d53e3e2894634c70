import ArgumentParser
import Foundation
import MartletServer
import MartletWire

/// The option that commands about a data folder have.
struct FolderOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The server's data folder. (default: the configured one, else martlet-data)",
            valueName: "folder"))
    var data: String?

    /// Runs with the folder's keys; a failure is told and ends the command.
    ///
    /// - Parameter makes: whether the folder and its file are made if there are none.
    func withDesk(makes: Bool = false, _ body: (borrowing KeyDesk) throws -> Void) throws {
        let folder = try DataFolder.chosen(self.data)
        DataFolder.actAsOwner(of: folder)
        let isThere = FileManager.default.fileExists(atPath: folder)
        guard makes || KeyDesk.exists(in: folder) else {
            Output.status(
                isThere
                    ? "No keys were made in \(folder) yet: martlet key create makes one, or name another data folder with --data."
                    : "There is no folder \(folder): name the server's data folder with --data.")
            throw ExitCode.failure
        }
        do {
            let desk = try KeyDesk(folder: folder)
            if !isThere { Output.status("there was no folder \(folder): made a new one; a server must be told to use it") }
            try body(desk)
        } catch {
            Output.status("\(error)")
            throw ExitCode.failure
        }
    }
}

/// `martlet key`.
struct Key: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Create, list and revoke API keys.",
        discussion: """
            A back end shows its key with each request: Authorization: Bearer mk_…. A running server notices what is done \
            here within a second.

            Examples:
              martlet key create --name billing --data /var/lib/martlet
              martlet key create --scope publish,read,admin --expires 90d
              martlet key list
              martlet key revoke q7n2x8m4kd3a
            """,
        subcommands: [Create.self, List.self, Revoke.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a key and print it: the only time that it can be seen.",
            discussion: """
                Scopes: publish (and recall) messages; read what became of them, and metrics; admin (end sessions, take back \
                tokens). Only a hash of the key is kept.
                """)

        @Option(help: "The app that it is for.")
        var app = "default"

        @Option(help: "What you call it; shown in the list.")
        var name = ""

        @Option(help: ArgumentHelp("What it may do: publish, read, admin, with commas between them.", valueName: "scopes"))
        var scope = "publish,read"

        @Option(help: ArgumentHelp("For how long it is good, such as 90d, 12h or 30m. (default: for ever)", valueName: "time"))
        var expires: TimeSpan?

        @ArgumentParser.OptionGroup var folder: FolderOptions

        func validate() throws {
            guard KeyDesk.scopes(self.scope) != nil else {
                throw ValidationError("'--scope \(self.scope)' must be made of publish, read and admin, with commas between them.")
            }
        }

        func run() throws {
            guard let scopes = KeyDesk.scopes(self.scope) else { return }
            try self.folder.withDesk(makes: true) { desk in
                let key = try desk.createKey(app: self.app, label: self.name, scopes: scopes, seconds: self.expires?.seconds)
                Output.status("key \(key.id) created; this is the only time that it is shown")
                try Output.line(key.text.utf8)
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the keys, without their secrets.")

        @Flag(help: "One JSON object a line.")
        var json = false

        @ArgumentParser.OptionGroup var folder: FolderOptions

        func run() throws {
            try self.folder.withDesk { desk in
                let keys = try desk.keys()
                if self.json {
                    for key in keys { try Output.line(Self.json(key)) }
                    return
                }
                let rows = keys.map { key in
                    [
                        key.id, key.app, key.name.isEmpty ? "-" : key.name, key.scopes.joined(separator: ","), key.state.rawValue,
                        Table.time(key.createdAtMs), key.expiresAtMs.map { Table.time($0) } ?? "never",
                    ]
                }
                try Table.print(["ID", "APP", "NAME", "SCOPES", "STATE", "CREATED", "EXPIRES"], rows)
            }
        }

        private static func json(_ key: KeyDesk.Key) -> [UInt8] {
            var output = Array(#"{"id":"#.utf8)
            JSON.append(key.id, to: &output)
            for (name, value) in [("app", key.app), ("name", key.name)] {
                output += Array(#","\#(name)":"#.utf8)
                JSON.append(value, to: &output)
            }
            let scopes = key.scopes.map { "\"\($0)\"" }.joined(separator: ",")
            output += Array(#","scopes":[\#(scopes)],"state":"\#(key.state.rawValue)","createdAt":\#(key.createdAtMs)"#.utf8)
            if let at = key.expiresAtMs { output += Array(#","expiresAt":\#(at)"#.utf8) }
            if let at = key.revokedAtMs { output += Array(#","revokedAt":\#(at)"#.utf8) }
            return output + Array("}".utf8)
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a key useless, for good.")

        @Argument(help: "The key's id, as in the list.")
        var id: String

        @ArgumentParser.OptionGroup var folder: FolderOptions

        func run() throws {
            try self.folder.withDesk { desk in
                try desk.revokeKey(self.id)
                Output.status("revoked; a running server refuses it from now on")
            }
        }
    }
}

/// `martlet app`.
struct App: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Create and list apps: tenants with keys, users and messages of their own.",
        subcommands: [Create.self, List.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make an app. How its client tokens are checked is set in the configuration.")

        @Argument(help: "Its name: letters, digits, '-' and '_'.")
        var name: String

        @ArgumentParser.OptionGroup var folder: FolderOptions

        func run() throws {
            try self.folder.withDesk(makes: true) { desk in
                try desk.createApp(self.name)
                Output.status("app \(self.name) created; martlet key create --app \(self.name) makes a key for it")
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the apps.")

        @ArgumentParser.OptionGroup var folder: FolderOptions

        func run() throws {
            try self.folder.withDesk { desk in
                let rows = try desk.apps().map { app in
                    [app.name, String(app.keys), app.createdAtMs == 0 ? "-" : Table.time(app.createdAtMs)]
                }
                try Table.print(["NAME", "KEYS", "CREATED"], rows)
            }
        }
    }
}

/// Rows in columns, for people.
enum Table {
    static func print(_ head: [String], _ rows: [[String]]) throws {
        let widths = head.indices.map { column in ([head] + rows).map { $0[column].count }.max() ?? 0 }
        for row in [head] + rows {
            let cells = zip(row, widths).map { cell, width in cell + String(repeating: " ", count: width - cell.count) }
            var line = cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            try Output.line(line.utf8)
        }
    }

    /// - Parameter milliseconds: Unix time.
    static func time(_ milliseconds: Int64) -> String {
        ISO8601DateFormatter().string(from: Foundation.Date(timeIntervalSince1970: Double(milliseconds) / 1_000))
    }
}

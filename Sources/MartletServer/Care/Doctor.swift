package import MartletCore
import MartletStoreSQLite

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Looks at a data folder and says in plain words what is wrong with it, and what to do. Changes nothing.
package struct Doctor: Sendable {
    package var folder: String
    /// Whether the store is read through with all its indexes.
    package var isFull = false
    package var limits = Limits()

    package init(folder: String) { self.folder = folder }

    /// - Parameter progress: told often while files are read through; ends that by returning false.
    package func examine(progress: @escaping (Keeper.Progress) -> Bool) -> Diagnosis {
        var diagnosis = Diagnosis(folder: self.folder)
        let seen = FolderInspection(self.folder)
        guard seen.exists else {
            diagnosis.findings.append(
                Finding(
                    "folder", .problem, "There is no folder \(self.folder).",
                    "Name the data folder with --data; martlet serve makes a new one."))
            return diagnosis
        }
        diagnosis.findings += self.holder(seen) + self.permissions(seen) + self.space(seen) + self.log(seen)
        diagnosis.findings += self.leftovers(seen)
        self.store(seen, &diagnosis, progress)
        diagnosis.findings += self.directory(seen) + self.files(seen)
        if let space = seen.space {
            diagnosis.figures.append(("freeBytes", Int64(space.free)))
        }
        diagnosis.figures.append(("logBytes", Int64(seen.logBytes)))
        return diagnosis
    }

    // MARK: Outside

    private func holder(_ seen: FolderInspection) -> [Finding] {
        switch seen.holder {
        case .nobody: [Finding("server", .ok, "No server is running on the folder.")]
        case .process(let id?): [Finding("server", .ok, "A server is running on the folder (process \(id)).")]
        case .process(nil): [Finding("server", .ok, "A server is running on the folder.")]
        case .unknown(let words):
            [
                Finding(
                    "server", .warning, "Whether a server is running cannot be seen: martlet.lock cannot be read (\(words)).",
                    "Run this as the user that the server runs as, or as root.")
            ]
        }
    }

    private func permissions(_ seen: FolderInspection) -> [Finding] {
        var findings: [Finding] = []
        if !seen.isReadable {
            findings.append(
                Finding(
                    "permissions", .problem,
                    "The folder cannot be read by this user (owner \(Self.user(seen.owner)), mode \(Self.octal(seen.mode))).",
                    "Run this as the user that the server runs as, or as root."))
        }
        if seen.mode & 0o077 != 0 {
            findings.append(
                Finding(
                    "permissions", .warning, "Other users may enter the data folder (mode \(Self.octal(seen.mode))); it holds messages and keys.",
                    "chmod 700 \(self.folder)"))
        }
        for file in seen.files {
            if file.owner != seen.owner {
                findings.append(
                    Finding(
                        "permissions", .problem,
                        "\(file.name) belongs to \(Self.user(file.owner)), the folder to \(Self.user(seen.owner)): the server may be unable to open it.",
                        "chown -R --reference=\(self.folder) \(self.folder)"))
            }
            if file.mode & 0o077 != 0, seen.mode & 0o077 != 0, file.name != "martlet.lock" {
                findings.append(
                    Finding(
                        "permissions", .warning, "Other users may read \(file.name) (mode \(Self.octal(file.mode))).",
                        "chmod 600 \(self.folder)/\(file.name)"))
            }
            if file.mode & 0o600 != 0o600 {
                findings.append(
                    Finding(
                        "permissions", .problem, "The owner may not read and write \(file.name) (mode \(Self.octal(file.mode))).",
                        "chmod 600 \(self.folder)/\(file.name)"))
            } else if !file.isReadable {
                findings.append(
                    Finding(
                        "permissions", .problem, "\(file.name) cannot be read by this user.",
                        "Run this as \(Self.user(file.owner)) or root."))
            }
        }
        if findings.isEmpty {
            findings.append(
                Finding("permissions", .ok, "The folder and its files belong to \(Self.user(seen.owner)), and nobody else may read them."))
        }
        return findings
    }

    private func space(_ seen: FolderInspection) -> [Finding] {
        guard let space = seen.space else {
            return [Finding("disk", .note, "The system does not say how much space is free.")]
        }
        let percent = space.total > 0 ? space.free * 100 / space.total : 0
        let text = "\(StoreCare.size(space.free)) of \(StoreCare.size(space.total)) free (\(percent) %)."
        let advice = "Make space: when the disk is full, publishes are answered 503 store_unavailable."
        if space.free < 33_554_432 { return [Finding("disk", .problem, text, advice)] }
        if space.free < 268_435_456 || percent < 5 { return [Finding("disk", .warning, text, advice)] }
        return [Finding("disk", .ok, text)]
    }

    private func log(_ seen: FolderInspection) -> [Finding] {
        let size = StoreCare.size(seen.logBytes)
        guard seen.logBytes > 268_435_456 else { return [Finding("log", .ok, "SQLite's log has \(size).")] }
        return [
            Finding(
                "log", .warning, "SQLite's log has \(size), much more than usual (64 MiB).",
                seen.holder == .nobody
                    ? "Start the server: it moves the log into the file."
                    : "Something reads the store for long (a backup, an SQL shell), or the disk is too slow: end the reader.")
        ]
    }

    private func leftovers(_ seen: FolderInspection) -> [Finding] {
        seen.leftovers.map { name in
            if name == "restore.part" {
                return Finding(
                    "leftovers", .problem, "A restore did not get to its end (\(name)).",
                    "Run martlet restore once more, with --force.")
            }
            return name.hasSuffix(".part")
                ? Finding("leftovers", .note, "\(name) is of a backup that was killed.", "Delete it.")
                : Finding("leftovers", .note, "\(name) holds the store that a restore moved aside.", "Delete it when you are sure.")
        }
    }

    private func directory(_ seen: FolderInspection) -> [Finding] {
        guard let damage = DirectoryInspection(folder: self.folder, isInUse: seen.holder != .nobody).damage else {
            return [Finding("directory", .ok, "No keys were made in this folder (no directory.db).")]
        }
        guard let first = damage.first else { return [Finding("directory", .ok, "directory.db (keys and apps) is whole.")] }
        return [
            Finding(
                "directory", .problem, "directory.db (keys and apps) cannot be read: \(first).",
                "Restore a backup; or stop the server, move directory.db away and make new keys (martlet key create).")
        ]
    }

    /// The limit of open files: the server's if one runs and may be looked at, or else that of this shell.
    private func files(_ seen: FolderInspection) -> [Finding] {
        if case .process(let id?) = seen.holder, let server = ProcessFiles(id) {
            let text = "The server has \(server.open) of \(server.limit) files open."
            guard server.limit - server.open < server.limit / 10 else { return [Finding("files", .ok, text)] }
            return [
                Finding(
                    "files", .warning, text + " Each connection is one; near the limit new ones are refused.",
                    "Raise it: LimitNOFILE= in the systemd unit, or ulimit -n before the start.")
            ]
        }
        var limit = rlimit()
        #if canImport(Glibc)
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return [] }
        #else
        guard getrlimit(RLIMIT_NOFILE, &limit) == 0 else { return [] }
        #endif
        let most = Int(clamping: UInt64(limit.rlim_cur))
        guard most < 4_096 else { return [Finding("files", .ok, "A server started here may have \(most) files open.")] }
        return [
            Finding(
                "files", .warning, "A server started here may have only \(most) files open; each connection is one.",
                "Raise it: LimitNOFILE= in the systemd unit, or ulimit -n before the start.")
        ]
    }

    static func octal(_ mode: UInt32) -> String { String(mode, radix: 8) }

    /// A user's name, or the number if there is none.
    static func user(_ id: UInt32) -> String {
        guard let entry = getpwuid(id) else { return "user \(id)" }
        return String(cString: entry.pointee.pw_name)
    }
}

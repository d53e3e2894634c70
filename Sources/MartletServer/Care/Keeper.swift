import MartletStoreSQLite

/// Backups and restores, for the command line.
package enum Keeper {
    /// How far copying or reading through is.
    package struct Progress: Sendable {
        package var isCopying: Bool
        /// Bytes copied, and in all; 0 while reading through.
        package var bytes: Int
        package var totalBytes: Int

        init(_ progress: CareProgress) {
            self.isCopying = progress.phase == .copying
            self.bytes = progress.bytes
            self.totalBytes = progress.totalBytes
        }
    }

    package struct Report: Sendable {
        /// Sentences for the operator, one a line.
        package var lines: [String]
    }

    /// - Parameter progress: told often; ends the work by returning false.
    /// - Throws: ``CareError``: sentences for the operator.
    package static func backup(
        folder: String, to target: String, megabytesPerSecond: Int, progress: @escaping (Progress) -> Bool
    ) throws -> Report {
        let begin = ServerClock.wallMs()
        let work = StoreBackup(folder: folder, target: target, bytesPerSecond: megabytesPerSecond * 1_000_000)
        let made = try work.run(wallMs: begin, observer: { progress(Progress($0)) })
        let seconds = Double(max(1, ServerClock.wallMs() - begin)) / 1_000
        let keys = made.hasDirectory ? "keys and apps included" : "there were no keys"
        return Report(lines: [
            "\(made.file): \(made.messages) messages, \(StoreCare.size(made.bytes)), \(keys); copied and checked in \(Self.short(seconds)) s."
        ])
    }

    /// - Throws: ``CareError``: sentences for the operator.
    package static func restore(
        file: String, to folder: String, isForced: Bool, progress: @escaping (Progress) -> Bool
    ) throws -> Report {
        let work = StoreRestore(file: file, folder: folder, isForced: isForced)
        let made = try work.run(wallMs: ServerClock.wallMs(), observer: { progress(Progress($0)) })
        let time = made.madeAtMs.map { " as of \(StoreCare.time($0))" } ?? ""
        var lines = ["Restored \(made.messages) messages\(time) into \(folder)."]
        if let aside = made.aside { lines.append("The store that was there is in \(aside) now: delete it when you are sure.") }
        lines += [
            "A new history (epoch) begins. Clients that come with an older cursor get a gap with reason epoch and go on from the position that the backup has for them;"
                + " what they may have had before is marked redelivered.",
            "Not in it: what was published, acked and recalled after the backup was made.",
        ]
        if made.hasDirectory {
            lines.append("Keys are as they were then: revoke again what was revoked since (martlet key list).")
        }
        return Report(lines: lines)
    }

    /// A number with one digit after the point.
    static func short(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}

import ArgumentParser
import MartletServer

/// `martlet backup`.
struct Backup: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Copy the store of a running (or stopped) server into one file.",
        discussion: """
            The server goes on meanwhile. Everything that it acknowledged before the backup began is in the file, keys \
            and apps too. The file is read through before it gets its name; if anything fails, no file is left.

              martlet backup --data martlet-data --to /backups
              martlet backup --data martlet-data --to /backups/monday.backup --max-rate 50

            martlet restore makes a data folder of it.
            """)

    @Option(help: ArgumentHelp("The server's data folder. (default: the configured one, else martlet-data)", valueName: "folder"))
    var data: String?

    @Option(help: ArgumentHelp("The file to make, or a folder to make one in that is named by the time.", valueName: "file or folder"))
    var to: String

    @Option(help: ArgumentHelp("Megabytes a second at most; 0 is as fast as it goes.", valueName: "MB"))
    var maxRate = 0

    func validate() throws {
        guard (0...1_000_000).contains(self.maxRate) else { throw ValidationError("--max-rate must be from 0 to 1000000.") }
    }

    func run() throws {
        let folder = try DataFolder.chosen(self.data)
        let line = ProgressLine(stops: true)
        do {
            let report = try Keeper.backup(folder: folder, to: self.to, megabytesPerSecond: self.maxRate) { progress in
                line.show(progress)
            }
            line.clear()
            for text in report.lines { try Output.line(text.utf8) }
        } catch {
            line.clear()
            Output.status("\(error)")
            throw ExitCode.failure
        }
    }
}

/// `martlet restore`.
struct Restore: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a data folder of a backup.",
        discussion: """
            The backup is checked first, and the folder changes only at the end. No server may be running on it. A \
            folder that is not empty needs --force, which moves the store that is there into a folder beside it.

              martlet restore /backups/monday.backup --data martlet-data

            What is restored is a new history: clients that come with an older cursor are told by a gap (reason \
            epoch), and nothing is taken for delivered that was not.
            """)

    @Argument(help: "The backup's file.")
    var file: String

    @Option(help: ArgumentHelp("The data folder to make.", valueName: "folder"))
    var data: String

    @Flag(help: "Move the store that is in the folder aside.")
    var force = false

    func run() throws {
        let line = ProgressLine(stops: true)
        do {
            let report = try Keeper.restore(file: self.file, to: self.data, isForced: self.force) { progress in
                line.show(progress)
            }
            line.clear()
            for text in report.lines { try Output.line(text.utf8) }
        } catch {
            line.clear()
            Output.status("\(error)")
            throw ExitCode.failure
        }
    }
}

import ArgumentParser
import Foundation
import MartletServer

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The data folder that a command works on.
enum DataFolder {
    /// The option, or what the server on this machine is told: `MARTLET_DATA`, the configuration file, `martlet-data`.
    ///
    /// - Throws: ``ExitCode`` if there is a configuration file that cannot be read.
    static func chosen(_ option: String?) throws -> String {
        if let option { return option }
        let loaded = LoadedConfiguration.load(.init(flags: ConfigFlags([]), environment: ProcessInfo.processInfo.environment))
        if let file = loaded.file, let problem = loaded.problems.first(where: { $0.place == file }) {
            Output.status("\(problem) Or name the data folder with --data.")
            throw ExitCode.failure
        }
        return loaded.configuration.dataFolder
    }

    /// As root, goes on as the folder's owner: the server must be able to use what is written there.
    static func actAsOwner(of folder: String) {
        var status = stat()
        guard geteuid() == 0, stat(folder, &status) == 0, status.st_uid != 0 else { return }
        _ = setegid(status.st_gid)
        _ = seteuid(status.st_uid)
    }
}

import MartletServer

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Loads a configuration as `martlet serve` does, from a file with this text.
func load(
    _ yaml: String? = nil, environment: [String: String] = [:], _ arguments: String...
) throws -> LoadedConfiguration {
    var flags = ConfigFlags(arguments)
    if let yaml { flags.file = try temporaryFile(yaml, mode: 0o600) }
    var input = ConfigInput(flags: flags, environment: environment)
    input.usualFile = "/nonexistent/martlet.yaml"
    return LoadedConfiguration.load(input)
}

struct CannotWrite: Error {}

/// A file of its own; small, and left to the system's cleaning of /tmp.
func temporaryFile(_ text: String, mode: mode_t) throws -> String {
    var name = Array("/tmp/martlet-config-XXXXXX".utf8CString)
    let descriptor = mkstemp(&name)
    guard descriptor >= 0 else { throw CannotWrite() }
    let written = text.withCString { write(descriptor, $0, strlen($0)) }
    fchmod(descriptor, mode)
    close(descriptor)
    guard written == text.utf8.count else { throw CannotWrite() }
    return String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

extension LoadedConfiguration {
    /// The problems without the names of temporary files: `:2: …`.
    var sentences: [String] {
        self.problems.map { problem in
            guard let file = self.file, problem.description.hasPrefix(file) else { return problem.description }
            return String(problem.description.dropFirst(file.count))
        }
    }

    func line(_ key: String) -> Line? { self.lines.first { $0.setting.key == key } }
}

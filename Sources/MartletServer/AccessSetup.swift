import Logging
import MartletAccess
import MartletCore
import MartletStoreSQLite
import NIOCore

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Keys, tokens and origins, as the configuration says.
struct AccessSetup {
    let directory: SQLiteDirectory
    let service: AccessService

    /// - Throws: one sentence for the operator.
    static func start(
        _ configuration: ServerConfiguration, group: any EventLoopGroup, logger: Logger
    ) async throws -> AccessSetup {
        var rules: [String: TokenRules] = [:]
        for (app, options) in configuration.apps { rules[app] = try self.rules(options.tokens) }
        let directory = try SQLiteDirectory(
            folder: configuration.dataFolder, apps: Array(configuration.apps.keys), nowMs: ServerClock.wallMs(), logger: logger)
        do {
            let service = try await AccessService.start(
                directory: directory, rules: rules, nameBytes: configuration.limits.nameBytes, group: group,
                wall: { ServerClock.wallMs() }, logger: logger)
            return AccessSetup(directory: directory, service: service)
        } catch {
            directory.stop()
            throw error
        }
    }

    func stop() async {
        await self.service.stop()
        self.directory.stop()
    }

    private static func rules(_ options: ServerConfiguration.TokenOptions) throws -> TokenRules {
        var rules = TokenRules()
        rules.secret = options.secret.map { Array($0.utf8) }
        rules.publicKeys = try options.publicKeys.map { file in
            guard let bytes = SmallFile.read(file) else { throw StartError("The public key \(file) cannot be read.") }
            return (name: file, pem: String(decoding: bytes, as: UTF8.self))
        }
        rules.jwksURL = options.jwksURL
        rules.issuer = options.issuer
        rules.audience = options.audience
        rules.leewaySeconds = options.leewaySeconds
        return rules
    }
}

/// Files of keys and secrets.
package enum SmallFile {
    /// Longest file that is read, in bytes.
    private static let longest = 65_536

    /// - Returns: nil if it cannot be read, or is larger than a key can be.
    package static func read(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Self.longest + 1)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                readBytes(descriptor, buffer.baseAddress.map { $0 + count }, buffer.count - count)
            }
            if got < 0 { return nil }
            if got == 0 { return Array(bytes[..<count]) }
            count += got
        }
        return nil
    }
}

/// `read` of the C library: inside the type its name is taken.
private func readBytes(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}

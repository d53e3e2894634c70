package import Logging
package import MartletCore
package import MartletStoreSQLite

/// What `martlet serve` is told.
package struct ServerConfiguration: Sendable {
    /// Where to listen. Default `127.0.0.1:8080`; port 0 takes any free one.
    package var host = "127.0.0.1"
    package var port = 8_080
    /// The folder of the store.
    package var dataFolder = "martlet-data"
    package var durability = Durability.full
    /// Time that sessions get to leave on SIGTERM, in seconds. Default 10.
    package var drainSeconds = 10
    package var isDev = false
    package var limits = Limits()
    package var logLevel = Logger.Level.info

    package init() {}

    /// The names of the durabilities: `full` (flushed to disk), `normal` (written), `memory` (neither is waited for).
    package static let durabilities = Durability.allCases.map(\.rawValue)

    /// Sets ``durability`` by its name; another name changes nothing.
    package mutating func setDurability(_ name: String) {
        if let durability = Durability(rawValue: name) { self.durability = durability }
    }

    /// Whether the address can only be reached from this machine.
    package static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    /// Splits `HOST:PORT` or `[IPV6]:PORT`.
    ///
    /// - Returns: nil if it is neither.
    package static func address(_ text: String) -> (host: String, port: Int)? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return host.isEmpty ? nil : (String(host), Int(port))
    }
}

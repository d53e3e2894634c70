package import MartletCore

/// What an acknowledged message survives.
package enum Durability: String, CaseIterable, Sendable {
    /// Flushed to disk before it is acknowledged: survives power loss.
    case full
    /// Written, flushed at checkpoints: survives the end of the process; power loss may take the newest.
    case normal
    /// Written, never flushed: survives the end of the process; power loss may take anything.
    case memory

    var pragma: String {
        switch self {
        case .full: "FULL"
        case .normal: "NORMAL"
        case .memory: "OFF"
        }
    }
}

/// Settings of a ``SQLiteStore``.
package struct SQLiteStoreConfiguration: Sendable {
    /// The folder of the store; made if there is none. One process at a time uses it.
    package var folder: String
    /// Default `full`.
    package var durability: Durability
    package var limits: Limits
    /// Connections (and threads) that read. Default 3.
    package var readers = 3
    /// Rows that one commit takes at most. Default 200.
    package var groupRows = 200
    /// Inbox entries kept in memory before they are written to the index. Default 50,000.
    package var unindexedEntries = 50_000
    /// Bytes of messages kept in memory before they are indexed. Default 16 MiB.
    package var unindexedBytes = 16_777_216
    /// Topics of which nothing is left but that something was lost; with more they are forgotten earlier. Default 1,000,000.
    package var rememberedTopics = 1_000_000
    /// Bytes of waiting appends beyond which further ones are refused as unavailable. Default 256 MiB.
    package var queueBytes = 268_435_456
    /// Bytes of SQLite's log from which on it is moved into the file in the background. Default 4 MiB.
    package var checkpointBytes = 4_194_304
    /// Bytes of SQLite's log from which on commits wait until it starts again. Default 64 MiB.
    package var logBytes = 67_108_864
    /// Longest time that positions stay only in memory, in milliseconds. Default 250.
    package var flushMs: Int64 = 250
    /// SQLite's file system to use; nil is its own. For tests.
    package var fileSystem: String?

    package init(folder: String, durability: Durability = .full, limits: Limits = Limits()) {
        self.folder = folder
        self.durability = durability
        self.limits = limits
    }
}

/// The clocks and the randomness that a ``SQLiteStore`` uses.
package struct SQLiteStoreEnvironment: Sendable {
    /// The server's clock, in milliseconds. Not called before ``SQLiteStore/observe(_:)``.
    package var now: @Sendable () -> Int64
    /// Unix time, in milliseconds.
    package var wall: @Sendable () -> Int64
    /// 64 random bits.
    package var random: @Sendable () -> UInt64
    /// What to keep of the clock, asked for at most once a second; nil keeps nothing. See ``SQLiteStore/loadClock()``.
    package var clockSample: (@Sendable () -> ClockSample)?

    package init(
        now: @escaping @Sendable () -> Int64, wall: @escaping @Sendable () -> Int64,
        random: @escaping @Sendable () -> UInt64 = { UInt64.random(in: 0...UInt64.max) },
        clockSample: (@Sendable () -> ClockSample)? = nil
    ) {
        self.now = now
        self.wall = wall
        self.random = random
        self.clockSample = clockSample
    }
}

extension ClockSample {
    /// As it is kept: both times and the name, with spaces between.
    init?(text: String) {
        let parts = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let server = Int64(parts[0]), let boot = Int64(parts[1]) else { return nil }
        self.init(serverMs: server, bootMs: boot, bootID: String(parts[2]))
    }

    /// See ``init(text:)``.
    var text: String { "\(self.serverMs) \(self.bootMs) \(self.bootID)" }
}

/// Why a store cannot be opened: one plain sentence for the operator.
package struct StoreStartError: Error, Equatable, CustomStringConvertible, Sendable {
    package var description: String

    package init(_ description: String) { self.description = description }
}

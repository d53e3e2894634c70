import Logging
import MartletCore
import MartletStoreSQLite
import Synchronization

/// The embedded store with the clock that it keeps.
struct StoreSetup: Sendable {
    let log: SQLiteStore
    let clock: ServerClock

    /// Opens the store and goes on from its clock.
    ///
    /// - Throws: one sentence for the operator.
    static func open(
        _ configuration: ServerConfiguration, random: @escaping @Sendable () -> UInt64, logger: Logger, metrics: StoreMetrics
    ) throws -> StoreSetup {
        let late = LateClock()
        var settings = SQLiteStoreConfiguration(folder: configuration.dataFolder, durability: configuration.durability)
        settings.limits = configuration.limits
        let environment = SQLiteStoreEnvironment(
            now: { late.clock.now() }, wall: { ServerClock.wallMs() }, random: random,
            clockSample: { late.clock.sample() })
        let log = try SQLiteStore(settings, environment: environment, logger: logger, metrics: metrics)
        let clock = ServerClock(resuming: log.loadClock())
        late.set(clock)
        return StoreSetup(log: log, clock: clock)
    }
}

/// A clock that is only known once the store has been opened: until then, one that knows of no sample.
private final class LateClock: Sendable {
    private let state = Mutex(ServerClock(resuming: nil))

    var clock: ServerClock { self.state.withLock { $0 } }

    func set(_ clock: ServerClock) { self.state.withLock { $0 = clock } }
}

import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import Synchronization
import Testing

/// The contract of the port, on SQLite: with the index far behind, and with it close behind.
@Suite struct ContractTests {
    static func maker(unindexed: Int) -> LogStoreContract.Maker {
        let folders = Mutex<[ObjectIdentifier: TemporaryFolder]>([:])
        return LogStoreContract.Maker(
            open: { limits, clock in
                let folder = TemporaryFolder()
                let store = try openStore(folder, clock: clock, limits: limits) { $0.unindexedEntries = unindexed }
                folders.withLock { $0[ObjectIdentifier(store)] = folder }
                return store
            },
            reopen: { stopped, limits, clock in
                guard let folder = folders.withLock({ $0[ObjectIdentifier(stopped)] }) else {
                    throw CancellationError()
                }
                let store = try openStore(folder, clock: clock, limits: limits) { $0.unindexedEntries = unindexed }
                folders.withLock { $0[ObjectIdentifier(store)] = folder }
                return store
            })
    }

    @Test(arguments: LogStoreContract.cases) func lazyIndex(_ test: LogStoreContract.Case) async throws {
        try await test.run(on: Self.maker(unindexed: 20_000))
    }

    @Test(arguments: LogStoreContract.cases) func eagerIndex(_ test: LogStoreContract.Case) async throws {
        try await test.run(on: Self.maker(unindexed: 0))
    }
}

package import Logging
package import MartletCore
import Synchronization

/// The ``KeyDirectory`` and ``NamespaceDirectory`` in `directory.db`: a copy in memory, brought up to date when another process has written the file.
package final class SQLiteDirectory: KeyDirectory, NamespaceDirectory {
    /// How often the file is looked at, in milliseconds.
    private static let lookMs: Int64 = 200
    /// How often it is looked at because of an unknown key, at most, in milliseconds: less than `martlet key create` takes to end, so that a
    /// key that it has said works with the first request.
    private static let unknownLookMs: Int64 = 1

    private struct Tables {
        var apps: [String: AppID] = [:]
        var keys: [String: KeyRecord] = [:]
        var revocations: [DirectoryFile.Revocation: Int64] = [:]
    }

    private struct Job {
        enum Work {
            case revoke(DirectoryFile.Revocation, beforeMs: Int64)
            case namespace(TopicKey, TopicOptionsChange?)
        }

        var work: Work
        var done: @Sendable (StoreError?) -> Void
    }

    private struct Jobs {
        var waiting: [Job] = []
        var isStopped = false
    }

    /// The connection that reads, and what was seen last.
    private final class Reading {
        let file: DirectoryFile
        var version: Int64?
        var isClosed = false
        var lookedAtMs: Int64 = 0
        /// Whether the last look failed; told once.
        var isFailing = false
        var namespaces: [TopicKey: TopicOptionsChange] = [:]
        var watcher: (@Sendable ([TopicKey: TopicOptionsChange]) -> Void)?
        init(_ file: consuming DirectoryFile) { self.file = file }
    }

    private let tables = Mutex(Tables())
    private let reading: Mutex<Reading>
    private let jobs = Monitor(Jobs())
    private let thread = Mutex<Worker?>(nil)
    private let logger: Logger

    /// Opens the file and begins to watch it.
    ///
    /// - Parameter apps: names that must be there.
    /// - Throws: one sentence for the operator.
    package init(folder: String, apps: [String], nowMs: Int64, logger: Logger) throws(StoreStartError) {
        let file = try DirectoryFile(folder: folder)
        for app in apps { _ = try file.createApp(app, atMs: nowMs) }
        let revocations = try file.revocations()
        self.tables.withLock { $0.revocations = revocations }
        self.reading = Mutex(Reading(file))
        self.logger = logger
        guard self.look() else { throw StoreStartError("The keys in \(folder) cannot be read.") }
        let writing = try DirectoryFile(folder: folder)
        let box = Mutex<DirectoryFile?>(writing)
        let worker = try Worker { [self] in
            // Taken out, so that it is closed when the thread ends.
            if let file = box.withLock({ $0.take() }) { self.work(file) }
        }
        self.thread.withLock { $0 = worker }
    }

    /// Ends the watching. What waits is written first, and what others changed last is still told.
    package func stop() {
        self.jobs.change { jobs in
            jobs.isStopped = true
            return ((), wake: true)
        }
        let worker = self.thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        worker?.join()
        // The last connection to close takes the log into the file.
        self.reading.withLock { reading in
            reading.isClosed = true
            reading.file.db.close()
        }
    }

    // MARK: KeyDirectory

    package func key(_ id: String) -> KeyRecord? {
        if let key = self.tables.withLock({ $0.keys[id] }) { return key }
        // Created a moment ago, perhaps; another thread may have seen it meanwhile.
        self.look(notBeforeMs: Self.unknownLookMs)
        return self.tables.withLock { $0.keys[id] }
    }

    /// Whether there is any key, even one that is revoked.
    package var hasKeys: Bool { self.tables.withLock { !$0.keys.isEmpty } }

    package func app(_ name: String) -> AppID? { self.tables.withLock { $0.apps[name] } }

    package func revokedBefore(app: AppID, user: String, device: String?) -> Int64? {
        self.tables.withLock { tables in
            guard !tables.revocations.isEmpty else { return nil }
            let all = tables.revocations[.init(app: app, user: user, device: "")]
            guard let device, let one = tables.revocations[.init(app: app, user: user, device: device)] else { return all }
            return max(one, all ?? one)
        }
    }

    package func revoke(
        app: AppID, user: String, device: String?, beforeMs: Int64, done: @escaping @Sendable (StoreError?) -> Void
    ) {
        self.add(Job(work: .revoke(.init(app: app, user: user, device: device ?? ""), beforeMs: beforeMs), done: done))
    }

    // MARK: NamespaceDirectory

    package func watchNamespaces(_ body: @escaping @Sendable ([TopicKey: TopicOptionsChange]) -> Void) {
        self.reading.withLock { reading in
            reading.watcher = body
            body(reading.namespaces)
        }
    }

    package func setNamespace(_ key: TopicKey, _ change: TopicOptionsChange?, done: @escaping @Sendable (StoreError?) -> Void) {
        self.add(Job(work: .namespace(key, change), done: done))
    }

    // MARK: Work

    private func add(_ job: Job) {
        let isStopped = self.jobs.change { jobs in
            if !jobs.isStopped { jobs.waiting.append(job) }
            return (jobs.isStopped, wake: !jobs.isStopped)
        }
        if isStopped { job.done(StoreError(.stopped)) }
    }

    /// Runs on a thread of its own: writes, and looks at the file in between.
    private func work(_ file: borrowing DirectoryFile) {
        while true {
            let next = self.jobs.wait(timeoutMs: Self.lookMs) { jobs -> Jobs? in
                guard !jobs.waiting.isEmpty || jobs.isStopped else { return nil }
                defer { jobs.waiting = [] }
                return jobs
            }
            for job in next?.waiting ?? [] { self.write(job, file) }
            self.look()
            if next?.isStopped == true { return }
        }
    }

    private func write(_ job: Job, _ file: borrowing DirectoryFile) {
        do throws(StoreStartError) {
            switch job.work {
            case .revoke(let revocation, let beforeMs):
                try file.revoke(revocation, beforeMs: beforeMs)
                self.tables.withLock { tables in
                    let before = tables.revocations[revocation] ?? .min
                    tables.revocations[revocation] = max(before, beforeMs)
                }
            case .namespace(let key, let change):
                try file.setNamespace(key, change)
                // Read back, in turn with all other looks, so that an older state cannot come after it.
                self.look()
            }
        } catch {
            switch job.work {
            case .revoke: self.logger.error("a revocation could not be stored", metadata: ["error": "\(error)"])
            case .namespace: self.logger.error("a namespace could not be stored", metadata: ["error": "\(error)"])
            }
            return job.done(StoreError(.unavailable, "\(error)"))
        }
        job.done(nil)
    }

    /// Reads the apps, keys and namespaces again if the file has changed.
    ///
    /// - Parameter notBeforeMs: do nothing if it was looked at less than this long ago.
    /// - Returns: whether they were read.
    @discardableResult
    private func look(notBeforeMs: Int64 = 0) -> Bool {
        self.reading.withLock { reading in
            let now = monotonicMs()
            guard now - reading.lookedAtMs >= notBeforeMs else { return false }
            reading.lookedAtMs = now
            guard !reading.isClosed, let version = reading.file.version(), version != reading.version else { return false }
            do throws(StoreStartError) {
                let apps = try reading.file.apps()
                let keys = try reading.file.keys()
                let namespaces = try reading.file.namespaces()
                let isFirst = reading.version == nil
                reading.version = version
                reading.isFailing = false
                if !isFirst { self.note(keys, apps, before: self.tables.withLock { $0.keys }) }
                self.tables.withLock { tables in
                    tables.apps = Dictionary(uniqueKeysWithValues: apps.map { ($0.name, $0.id) })
                    tables.keys = Dictionary(uniqueKeysWithValues: keys.map { ($0.id, $0) })
                }
                if namespaces != reading.namespaces {
                    reading.namespaces = namespaces
                    reading.watcher?(namespaces)
                }
                return true
            } catch {
                // What is known stays in force; the next look tries again.
                if !reading.isFailing { self.logger.error("the keys could not be read", metadata: ["error": "\(error)"]) }
                reading.isFailing = true
                return false
            }
        }
    }

    /// Logs what has changed.
    private func note(_ keys: [KeyRecord], _ apps: [DirectoryFile.App], before: [String: KeyRecord]) {
        for key in keys {
            let app = apps.first { $0.id == key.app }?.name ?? "?"
            let metadata: Logger.Metadata = [
                "key": "\(key.id)", "app": "\(app)", "name": "\(key.name)", "scopes": "\(key.scopes.names.joined(separator: ","))",
            ]
            if before[key.id] == nil { self.logger.notice("key created", metadata: metadata) }
            if key.revokedAtMs != nil, before[key.id]?.revokedAtMs == nil {
                self.logger.notice("key revoked", metadata: metadata)
            }
        }
    }
}

import Logging
import MartletCore
import MartletWire
import Synchronization

/// How a group ends.
extension Writer {
    /// Does one operation, or as much of it as the group has room for.
    func apply(_ operation: Operation, _ group: inout Group) throws {
        switch operation {
        case .append(let job): try self.append(job, &group)
        case .recall(let id, let app, let done):
            group.completions.append(.recall(.success(try self.recall(id, app, &group)), done))
        case .open(let request, let done): try self.open(request, &group, done)
        case .record(let updates):
            group.updates += updates
            for update in updates { self.record(update) }
        case .reserve(let count, let device, let done): try self.reserve(count, device, &group, done)
        case .fence(let body): body()
        case .trim(let topic, let offset): self.trim(topic, upTo: offset, &group)
        case .save(let sessions, let done):
            for session in sessions { self.save(session, &group) }
            group.completions.append(.plain(nil, done))
        case .barrier(let body): group.completions.append(.plain(nil) { _ in body() })
        case .settle(let done):
            try self.settle(&group)
            group.completions.append(.plain(nil, done))
        }
    }

    /// Notes for an operation that it failed. Of an append, that is the part that this group was to take.
    /// - Parameter whole: also what later groups were to take.
    func fail(_ operation: Operation, _ error: StoreError, whole: Bool = false, _ group: inout Group) {
        switch operation {
        case .append(let job):
            let first = job.taken
            if whole { job.next = job.requests.count }
            group.completions.append(.append(job, Array(repeating: .failed(error), count: job.next - first)))
            job.taken = job.next
        case .recall(_, _, let done): group.completions.append(.recall(.failure(error), done))
        case .open(_, let done):
            let spare = group.spare
            group.spare = nil
            group.completions.append(.open(spare.map { .success($0) } ?? .failure(error), written: spare == nil, done))
        case .record, .trim: break
        case .reserve(_, _, let done): group.completions.append(.reserve(.failure(error), done))
        case .fence(let body): body()
        case .save(_, let done), .settle(let done): group.completions.append(.plain(error, done))
        case .barrier(let body): group.completions.append(.plain(nil) { _ in body() })
        }
    }

    /// Shows a committed group: to the readers, to the observer, to the callers.
    func publish(_ group: Group) {
        if !self.healthy, group.wrote {
            self.healthy = true
            self.logger.notice("store available again")
        }
        self.count(group)
        for item in group.items { self.indexer.add(item) }
        let observer = self.queue.withLock { $0.observer }
        let batch = self.indexer.batch
        self.shared.memtable.withLock { memtable in
            for item in group.items { memtable.insert(item) }
            for (topic, state) in group.topics { memtable.set(topic, state) }
            for offset in group.recalled { memtable.recall(offset) }
            for (topic, offset) in group.recalledOf { memtable.remove(topic, offset) }
            for (lane, offset) in group.drops { memtable.drop(lane, upTo: offset) }
            if let last = group.items.last { memtable.end = last.message.offset }
            if let indexed = group.indexedUpTo, let batch { memtable.prune(batch.items, upTo: indexed) }
        }
        let isAwaited = self.shared.published.withLock { published in
            published.count += 1
            return published.waiting > 0
        }
        if isAwaited { self.shared.published.wakeAll() }
        self.indexer.batch?.written += group.indexedRows
        if group.indexedUpTo != nil {
            self.indexer.finish()
            self.isReaping = true
        }
        for (lane, offset) in group.drops { self.indexer.left(lane, upTo: offset) }
        for (_, offset) in group.recalledOf { self.indexer.left(topicMessage: offset) }
        self.forgetFlushed(group.flushed)
        for (app, change) in group.keys { self.keyCounts[app, default: 0] += change }
        if let position = group.sweepPosition { self.sweepPosition = position }
        if let position = group.topicSweepPosition { self.topicSweepPosition = position }
        if !group.items.isEmpty { self.lastAppendMs = monotonicMs() }
        if !group.commits.isEmpty { observer?(group.commits) }
        self.complete(group.completions)
        self.boundCaches()
        self.boundLog()
    }

    private func count(_ group: Group) {
        let change = group.items.count { !$0.message.liveOnly } - group.expired - group.reaped
        if change != 0 { self.shared.messages.wrappingAdd(change, ordering: .relaxed) }
    }

    func complete(_ completions: [Group.Completion]) {
        for completion in completions {
            switch completion {
            case .append(let job, let outcomes): job.complete(outcomes)
            case .recall(let result, let done): done(result)
            case .open(let result, _, _, let done): done(result)
            case .reserve(let result, let done): done(result)
            case .plain(let error, let done): done(error)
            }
        }
    }

    /// Undoes a group that could not be committed, and tells its callers.
    func rescue(_ group: Group, _ failure: SQLiteError) {
        self.metrics.failed()
        if self.healthy {
            self.healthy = false
            self.logger.error("store unavailable", metadata: ["error": "\(failure.description)"])
        }
        if !self.db.isAutocommit { try? self.sql.rollback.run() }
        // What was computed from rows of the group may be wrong now.
        self.stats = [:]
        self.inboxes = [:]
        self.topicIDs = [:]
        self.books = [:]
        self.isReaping = true
        if group.committing, !group.items.isEmpty {
            do {
                if try self.exists(group) {
                    self.publish(group)
                    return
                }
            } catch {
                self.doubtful = group
            }
        }
        if !group.undo.isEmpty {
            self.shared.devices.withLock { devices in
                for (key, state) in group.undo.reversed() { devices[key] = state }
            }
            for update in group.updates { self.record(update) }
        }
        let error = StoreError(.unavailable, failure.description)
        let end = self.shared.memtable.withLock { $0.end }
        let known = { (record: DeviceRecord) in
            var record = record
            record.end = end
            return record
        }
        self.complete(
            group.completions.map { completion in
                switch completion {
                case .append(let job, let outcomes):
                    .append(job, Array(repeating: .failed(error), count: outcomes.count))
                case .recall(_, let done): .recall(.failure(error), done)
                case .open(.success(let record), written: false, _, let done): .open(.success(known(record)), written: false, done)
                case .open(.failure(let own), written: false, _, let done): .open(.failure(own), written: false, done)
                case .open(_, _, let spare?, let done): .open(.success(known(spare)), written: false, done)
                case .open(_, _, _, let done): .open(.failure(error), written: true, done)
                case .reserve(_, let done): .reserve(.failure(error), done)
                case .plain(_, let done): .plain(error, done)
                }
            })
    }

    private func exists(_ group: Group) throws -> Bool {
        guard let first = group.items.first else { return false }
        defer { self.sql.hasMessage.reset() }
        self.sql.hasMessage.bind(1, first.message.offset)
        return try self.sql.hasMessage.step()
    }

    /// Finds out about a group whose COMMIT failed. If it is there after all it is announced, so that whoever is
    /// caught up sees it; its callers were told that it failed.
    func resolveDoubt() throws {
        guard var group = self.doubtful else { return }
        let exists = try self.exists(group)
        self.doubtful = nil
        guard exists else { return }
        group.completions = []
        group.indexedUpTo = nil
        group.indexedRows = 0
        self.publish(group)
    }
}

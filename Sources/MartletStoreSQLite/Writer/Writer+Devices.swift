import MartletCore
import Synchronization

extension Writer {
    /// The record of a device as it stands; nil if there is none.
    private func device(_ key: DeviceKey) throws -> DeviceState.Values? {
        if let state = self.shared.devices.withLock({ $0[key] }) { return state.values }
        let select = self.sql.selectDevice
        defer { select.reset() }
        select.bind(1, Int64(key.app.rawValue))
        select.bind(2, key.name)
        return try select.step() ? DeviceState.read(select, shared: self.shared) : nil
    }

    /// The offset that the newest message of the group will have, or of the log.
    private func end(_ group: Group) -> UInt64 {
        group.items.last?.message.offset ?? self.shared.memtable.withLock { $0.end }
    }

    func open(
        _ request: DeviceOpening, _ group: inout Group,
        _ done: @escaping @Sendable (Result<DeviceRecord, StoreError>) -> Void
    ) throws {
        let limits = self.configuration.limits
        let before = try self.device(request.device)
        let end = self.end(group)
        let userChanged = before.map { !isSameName($0.user, request.user) } ?? false
        if let user = request.user, before == nil || userChanged,
            try self.count(user, request.device.app) >= limits.devicesPerUser
        {
            let error = StoreError(.tooManyDevices, "the user has \(limits.devicesPerUser) devices")
            group.completions.append(.open(.failure(error), written: false, done))
            return
        }
        guard var values = before else {
            let acked = request.fromNow ? Positions(all: end) : Positions()
            var values = DeviceState.Values(
                id: 0, user: request.user, acked: acked, sent: Positions(), seen: request.at, nextSeq: 1,
                seqEnd: 1 + request.reserve, marks: [], created: self.now, bound: self.now, trimmed: acked)
            try self.begin(&group)
            try self.insert(request.device, &values)
            group.rows += 1
            group.completions.append(.open(.success(self.record(values, isNew: true, end: end)), written: true, done))
            return
        }
        values.seen = max(values.seen, request.at)
        // Numbers that are left do while the store cannot write; the session asks for more.
        let reserves = request.reserve > 0 && self.healthy
        let written = userChanged || reserves
        let isSettled = !userChanged && !group.undo.contains { $0.0 == request.device }
        let spare = isSettled ? self.record(values, isNew: false, end: end) : nil
        if userChanged {
            values.user = request.user
            values.acked.set(.user, to: 0)
            values.sent.set(.user, to: end)
            values.bound = self.now
            values.journal.removeAll { $0.lane.scope == .user }
            for index in values.marks.indices { values.marks[index].positions.set(.user, to: 0) }
        }
        if reserves || userChanged { values.seqEnd = max(values.seqEnd, values.nextSeq + request.reserve) }
        if written {
            group.spare = spare
            try self.begin(&group)
            if userChanged {
                for kind: JournalRange.Kind in [.sent, .delivered] {
                    self.sql.deleteUserJournal.bind(1, values.id)
                    self.sql.deleteUserJournal.bind(2, Int64(kind.rawValue))
                    try self.sql.deleteUserJournal.run()
                }
            }
            let previous = self.keep(request.device, values)
            group.undo.append((request.device, previous))
            try self.flush(request.device, &group)
            group.spare = nil
            group.rows += 1
        } else {
            self.keep(request.device, values)
        }
        var record = self.record(values, isNew: false, end: end)
        record.userChanged = userChanged
        group.completions.append(.open(.success(record), written: written, spare: spare, done))
    }

    private func record(_ values: DeviceState.Values, isNew: Bool, end: UInt64) -> DeviceRecord {
        DeviceRecord(
            isNew: isNew, acked: values.acked, suspect: values.sent, end: end, nextSeq: values.nextSeq,
            seqEnd: values.seqEnd, marks: values.marks)
    }

    private func count(_ user: String, _ app: AppID) throws -> Int {
        let select = self.sql.countDevices
        defer { select.reset() }
        select.bind(1, Int64(app.rawValue))
        select.bind(2, user)
        return try select.step() ? Int(select.integer(0)) : 0
    }

    /// Keeps a record in memory until it is written.
    ///
    /// - Returns: what was kept before.
    @discardableResult
    private func keep(_ key: DeviceKey, _ values: DeviceState.Values) -> DeviceState? {
        if self.oldestDirtyMs == nil { self.oldestDirtyMs = monotonicMs() }
        return self.shared.devices.withLock { $0.updateValue(DeviceState(values), forKey: key) }
    }

    /// Takes an update into memory.
    func record(_ update: DeviceUpdate) {
        var values: DeviceState.Values
        do {
            guard let known = try self.device(update.device) else { return }
            values = known
        } catch {
            if self.deferred.count < 100_000 { self.deferred.append(update) }
            return
        }
        var acked = update.acked
        var sent = update.sent
        var journal = update.journal
        var marks = update.marks ?? values.marks
        if !isSameName(values.user, update.user) {
            acked.set(.user, to: 0)
            sent.set(.user, to: 0)
            journal.removeAll { $0.lane.scope == .user }
            for index in marks.indices { marks[index].positions.set(.user, to: 0) }
        }
        values.acked.advance(to: acked)
        values.sent.advance(to: sent)
        values.seen = max(values.seen, update.at)
        values.nextSeq = max(values.nextSeq, update.nextSeq)
        values.marks = marks
        values.journal += journal
        if values.journal.count > Self.journalRanges { values.journal = Self.merged(values.journal) }
        self.keep(update.device, values)
    }

    /// Takes the updates whose records could not be read before.
    func retryDeferred() {
        guard !self.deferred.isEmpty else { return }
        let updates = self.deferred
        self.deferred = []
        for update in updates { self.record(update) }
    }

    /// Ranges of one device that wait at most, while the store cannot write; then neighbours are merged.
    private static let journalRanges = 512

    private static func merged(_ journal: [JournalRange]) -> [JournalRange] {
        var result: [JournalRange] = []
        for range in journal {
            if let index = result.lastIndex(where: { $0.kind == range.kind && $0.lane == range.lane }),
                result.count > 64
            {
                result[index].from = min(result[index].from, range.from)
                result[index].to = max(result[index].to, range.to)
                result[index].at = range.at
            } else {
                result.append(range)
            }
        }
        return result
    }

    func reserve(
        _ count: UInt64, _ key: DeviceKey, _ group: inout Group,
        _ done: @escaping @Sendable (Result<UInt64, StoreError>) -> Void
    ) throws {
        guard var values = try self.device(key) else {
            group.completions.append(.reserve(.failure(StoreError(.unavailable, "the device is unknown")), done))
            return
        }
        try self.begin(&group)
        values.seqEnd = max(values.seqEnd, values.nextSeq) + count
        group.undo.append((key, self.keep(key, values)))
        try self.flush(key, &group)
        group.rows += 1
        group.completions.append(.reserve(.success(values.seqEnd), done))
    }

    private func insert(_ key: DeviceKey, _ values: inout DeviceState.Values) throws {
        let insert = self.sql.insertDevice
        insert.bind(1, Int64(key.app.rawValue))
        insert.bind(2, key.name)
        insert.bind(3, values.user)
        insert.bind(4, Codec.encode(values.acked))
        insert.bind(5, Codec.encode(values.sent))
        insert.bind(6, self.shared.run)
        insert.bind(7, values.seen)
        insert.bind(8, values.nextSeq)
        insert.bind(9, values.seqEnd)
        insert.bind(10, Codec.encode(values.marks))
        insert.bind(11, values.created)
        insert.bind(12, values.bound)
        try insert.run()
    }

    /// Writes the record of one device that is kept in memory.
    func flush(_ key: DeviceKey, _ group: inout Group) throws {
        guard let state = self.shared.devices.withLock({ $0[key] }) else { return }
        let values = state.values
        let update = self.sql.updateDevice
        update.bind(1, values.user)
        update.bind(2, Codec.encode(values.acked))
        update.bind(3, Codec.encode(values.sent))
        update.bind(4, self.shared.run)
        update.bind(5, values.seen)
        update.bind(6, values.nextSeq)
        update.bind(7, values.seqEnd)
        update.bind(8, Codec.encode(values.marks))
        update.bind(9, values.bound)
        update.bind(10, values.id)
        try update.run()
        let insert = self.sql.insertJournal
        for range in values.journal {
            insert.bind(1, values.id)
            insert.bind(2, Int64(range.kind.rawValue))
            insert.bind(3, range.lane.index)
            insert.bind(4, range.to)
            insert.bind(5, range.from)
            insert.bind(6, range.at)
            try insert.run()
        }
        try self.trimAcked(key, from: values.trimmed, to: values.acked, &group)
        group.flushed[key] = state
    }

    /// Forgets the records that are written, unless they have changed since.
    func forgetFlushed(_ flushed: [DeviceKey: DeviceState]) {
        guard !flushed.isEmpty else { return }
        let now = monotonicMs()
        self.shared.devices.withLock { devices in
            for (key, state) in flushed {
                guard let current = devices[key] else { continue }
                if current === state {
                    devices[key] = nil
                    continue
                }
                // The written part of the journal need not be written again.
                var values = current.values
                if values.journal.starts(with: state.values.journal) {
                    values.journal.removeFirst(state.values.journal.count)
                }
                values.trimmed.advance(to: state.values.acked)
                devices[key] = DeviceState(values)
            }
            self.oldestDirtyMs = devices.isEmpty ? nil : now
        }
    }
}

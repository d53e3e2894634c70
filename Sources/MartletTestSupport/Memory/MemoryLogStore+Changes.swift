import MartletCore
import MartletWire

extension MemoryLogStore {
    func appendOne(_ request: AppendRequest, commits: inout [Commit]) -> AppendOutcome {
        if case .failure(let error) = self.canStore { return .failed(error) }
        let now = self.now()
        let wall = self.wall()
        if let idempotency = request.idempotency {
            let name = MemoryTables.KeyName(app: request.app, key: idempotency.key)
            if let known = self.disk.tables.keys[name], known.expiresAt > now {
                guard known.digest == idempotency.digest else { return .conflict }
                if let save = request.save { self.disk.tables.save(save) }
                return .stored(known.id, repeated: true)
            }
        }
        let id = self.disk.tables.nextID(wall: wall)
        self.disk.tables.end += 1
        let offset = self.disk.tables.end
        let message = StoredMessage(
            id: id, offset: offset, priority: request.priority, at: wall, expiresAt: now + Int64(request.ttl) * 1_000,
            collapseKey: request.collapseKey, liveOnly: request.ttl == 0, marks: request.marks,
            fragment: StoredMessage.fragment(id: id, at: wall, members: request.members))
        if let save = request.save { self.disk.tables.save(save) }
        let topic = request.topic.map { TopicKey(app: request.app, name: $0.name) }
        self.disk.tables.rows[offset] = MessageRow(
            message: message, app: request.app, targets: topic == nil ? request.targets : [], topic: topic, born: now)
        self.disk.tables.offsets[id] = offset
        if let idempotency = request.idempotency {
            let name = MemoryTables.KeyName(app: request.app, key: idempotency.key)
            self.disk.tables.keys[name] = .init(
                digest: idempotency.digest, id: id, expiresAt: now + Int64(self.limits.idempotencySeconds) * 1_000)
            self.disk.tables.dropOldestKeys(of: request.app, limit: self.limits.idempotencyEntries, but: name)
        }
        if let topic, let append = request.topic {
            self.disk.tables.insert(message, into: topic, append, now: now)
            commits.append(.published(message, topic: topic))
            return .stored(id, repeated: false)
        }
        let superseded = request.targets.map {
            self.disk.tables.insert(message, into: $0, limits: self.limits, now: now, wall: wall)
        }
        commits.append(.stored(message, targets: request.targets, superseded: superseded))
        return .stored(id, repeated: false)
    }

    func recallOne(_ id: MessageID, app: AppID, commits: inout [Commit]) -> Result<RecallOutcome?, StoreError> {
        if case .failure(let error) = self.canStore { return .failure(error) }
        guard let offset = self.disk.tables.offsets[id], let row = self.disk.tables.rows[offset], row.app == app else {
            return .success(nil)
        }
        if row.recalledAt != nil { return .success(.recalled) }
        if row.message.isExpired(at: self.now()) { return .success(.expired) }
        self.disk.tables.rows[offset]?.recalledAt = self.wall()
        if let topic = row.topic { self.disk.tables.recall(offset, of: topic) }
        commits.append(.recalled(offset: offset, targets: row.targets))
        return .success(.recalled)
    }

    func open(_ request: DeviceOpening, needsSync: inout Bool) -> Result<DeviceRecord, StoreError> {
        let tables = self.disk.tables
        guard var row = self.devices[request.device] else {
            if case .failure(let error) = self.canStore { return .failure(error) }
            guard self.hasRoom(for: request) else { return .failure(StoreError(.tooManyDevices)) }
            let start = Positions(all: request.fromNow ? tables.end : 0)
            var row = DeviceRow(user: request.user, firstSeen: self.now(), acked: start, sent: start, run: tables.run)
            row.seqEnd = 1 + request.reserve
            self.devices[request.device] = row
            needsSync = true
            return .success(
                DeviceRecord(isNew: true, acked: row.acked, suspect: Positions(), end: tables.end, seqEnd: row.seqEnd))
        }
        row.catchUp(tables)
        let userChanged = !isSameName(row.user, request.user)
        if userChanged {
            if case .failure(let error) = self.canStore { return .failure(error) }
            guard self.hasRoom(for: request) else { return .failure(StoreError(.tooManyDevices)) }
            row.changeUser(to: request.user, end: tables.end)
            needsSync = true
        }
        if request.reserve > 0, case .success = self.canStore {
            row.seqEnd = max(row.seqEnd, row.nextSeq + request.reserve)
            needsSync = true
        }
        self.devices[request.device] = row
        return .success(
            DeviceRecord(
                isNew: false, userChanged: userChanged, acked: row.acked, suspect: row.sent, end: tables.end,
                nextSeq: row.nextSeq, seqEnd: row.seqEnd, marks: row.marks))
    }

    private func hasRoom(for request: DeviceOpening) -> Bool {
        guard let user = request.user else { return true }
        let others = self.devices.count { $0.key.app == request.device.app && isSameName($0.value.user, user) }
        return others < self.limits.devicesPerUser
    }

    func reserveOne(_ count: UInt64, device: DeviceKey) -> Result<UInt64, StoreError> {
        if case .failure(let error) = self.canStore { return .failure(error) }
        guard var row = self.devices[device] else { return .failure(StoreError(.unavailable, "no such device")) }
        row.seqEnd += count
        self.devices[device] = row
        return .success(row.seqEnd)
    }
}

extension MemoryTables {
    /// Puts a message into an inbox and keeps the inbox within its limits.
    ///
    /// - Returns: the offset of the message that had its collapse key there before.
    mutating func insert(
        _ message: StoredMessage, into key: InboxKey, limits: Limits, now: Int64, wall: Int64
    ) -> UInt64? {
        var inbox = self.inboxes.removeValue(forKey: key) ?? MemoryInbox()
        defer { self.inboxes[key] = inbox }
        var superseded: UInt64?
        if let collapseKey = message.collapseKey {
            superseded = inbox.newest.updateValue(message.offset, forKey: ExactText(collapseKey))
            if let superseded { self.rows[superseded]?.collapsedAt[key] = wall }
        }
        guard !message.liveOnly else { return superseded }
        inbox.lanes[Int(message.priority.rawValue)].append(message.offset)
        inbox.bytes += message.weight
        guard inbox.count > limits.inboxMessages || inbox.bytes > limits.inboxBytes else { return superseded }
        for lane in 0..<3 {
            inbox.lanes[lane].removeAll { offset in
                guard let row = self.rows[offset], !row.isAlive(at: now) else { return false }
                inbox.bytes -= row.message.weight
                return true
            }
        }
        while inbox.count > limits.inboxMessages || inbox.bytes > limits.inboxBytes {
            guard let lane = inbox.lanes.lastIndex(where: { !$0.isEmpty }) else { break }
            let offset = inbox.lanes[lane].removeFirst()
            guard let row = self.rows[offset] else { continue }
            inbox.bytes -= row.message.weight
            if let collapseKey = row.message.collapseKey, inbox.newest[ExactText(collapseKey)] != offset { continue }
            self.rows[offset]?.trimmedFrom.insert(key)
            inbox.trimmedTo[lane] = max(inbox.trimmedTo[lane], offset)
        }
        return superseded
    }
}

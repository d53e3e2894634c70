import MartletCore
import MartletWire

extension Writer {
    /// Stores as many of the job's requests as the group has room for.
    func append(_ job: AppendJob, _ group: inout Group) throws {
        let first = job.next
        job.next = min(job.requests.count, first + max(1, self.configuration.groupRows - group.rows))
        var outcomes: [AppendOutcome] = []
        outcomes.reserveCapacity(job.next - first)
        for request in job.requests[first..<job.next] {
            outcomes.append(try self.append(request, &group))
            group.rows += 1
        }
        job.taken = job.next
        group.completions.append(.append(job, outcomes))
    }

    private func append(_ request: AppendRequest, _ group: inout Group) throws -> AppendOutcome {
        var replacesKey = false
        if let idempotency = request.idempotency, let known = try self.known(idempotency, request.app) {
            if known.expires > self.now {
                if case .stored = known.outcome, let save = request.save { self.save(save, &group) }
                return known.outcome
            }
            replacesKey = true
        }
        try self.begin(&group)
        let offset = self.nextOffset
        self.nextOffset += 1
        let id = self.ids.next(wall: self.wall, random: self.environment.random())
        let message = StoredMessage(
            id: id, offset: offset, priority: request.priority, at: self.wall,
            expiresAt: self.now + Int64(request.ttl) * 1_000, collapseKey: request.collapseKey,
            liveOnly: request.ttl == 0, marks: request.marks,
            fragment: StoredMessage.fragment(id: id, at: self.wall, members: request.members))
        if let save = request.save { self.save(save, &group) }
        if let topic = request.topic {
            let placing = try self.append(message, topic, request.app, &group)
            if let idempotency = request.idempotency {
                try self.remember(idempotency, request.app, as: id, replaces: replacesKey, &group)
            }
            group.items.append(Indexer.Item(message: message, placing: placing))
            group.commits.append(.published(message, topic: TopicKey(app: request.app, name: topic.name)))
            return .stored(id, repeated: false)
        }
        var inboxes: [Int64] = []
        inboxes.reserveCapacity(request.targets.count)
        for target in request.targets { inboxes.append(try self.inbox(target)) }
        try self.insert(message, app: request.app, inboxes: inboxes)
        var superseded: [UInt64?] = []
        superseded.reserveCapacity(inboxes.count)
        for inbox in inboxes {
            superseded.append(try self.collapse(message, inbox))
            if !message.liveOnly { try self.grow(inbox, by: message.weight, &group) }
        }
        if let idempotency = request.idempotency {
            try self.remember(idempotency, request.app, as: id, replaces: replacesKey, &group)
        }
        group.items.append(Indexer.Item(message: message, inboxes: inboxes))
        group.commits.append(.stored(message, targets: request.targets, superseded: superseded))
        return .stored(id, repeated: false)
    }

    private func insert(_ message: StoredMessage, app: AppID, inboxes: [Int64]) throws {
        let insert = self.sql.insertMessage
        insert.bind(1, message.offset)
        insert.bind(2, message.id.high)
        insert.bind(3, message.id.low)
        insert.bind(4, Int64(app.rawValue))
        insert.bind(5, message.liveOnly ? MessageFlag.liveOnly : 0)
        insert.bind(6, Int64(message.priority.rawValue))
        insert.bind(7, message.at)
        insert.bind(8, message.expiresAt)
        insert.bind(9, message.weight)
        insert.bind(10, message.collapseKey)
        insert.bind(11, Codec.encode(inboxes: inboxes))
        insert.bind(12, message.marks.rawValue)
        try insert.run()
        guard !message.liveOnly else { return }
        self.sql.insertBody.bind(1, message.offset)
        self.sql.insertBody.bind(2, message.fragment)
        try self.sql.insertBody.run()
    }

    /// Makes the message the newest of its collapse key in an inbox.
    ///
    /// - Returns: the offset of the one before, if it or what it replaced may still be pending.
    private func collapse(_ message: StoredMessage, _ inbox: Int64) throws -> UInt64? {
        guard let key = message.collapseKey else { return nil }
        let select = self.sql.selectCollapse
        select.bind(1, inbox)
        select.bind(2, key)
        let before: UInt64? = try select.step() && select.integer(1) > self.now ? select.unsigned(0) : nil
        select.reset()
        if let before {
            self.sql.insertSuperseded.bind(1, before)
            self.sql.insertSuperseded.bind(2, inbox)
            self.sql.insertSuperseded.bind(3, self.wall)
            try self.sql.insertSuperseded.run()
        }
        let upsert = self.sql.upsertCollapse
        upsert.bind(1, inbox)
        upsert.bind(2, key)
        upsert.bind(3, message.offset)
        upsert.bind(4, message.expiresAt)
        try upsert.run()
        return before
    }

    /// The id of an inbox, which is made if there is none.
    func inbox(_ key: InboxKey) throws -> Int64 {
        if let id = try self.knownInbox(key) { return id }
        let insert = self.sql.insertInbox
        defer { insert.reset() }
        insert.bind(1, Int64(key.app.rawValue))
        insert.bind(2, Int64(key.scope.rawValue))
        insert.bind(3, key.name)
        _ = try insert.step()
        let id = insert.integer(0)
        self.inboxes[key] = id
        self.stats[id] = InboxStats(count: 0, bytes: 0)
        return id
    }

    func knownInbox(_ key: InboxKey) throws -> Int64? {
        if let id = self.inboxes[key] { return id }
        let select = self.sql.selectInbox
        defer { select.reset() }
        select.bind(1, Int64(key.app.rawValue))
        select.bind(2, Int64(key.scope.rawValue))
        select.bind(3, key.name)
        guard try select.step() else { return nil }
        let id = select.integer(0)
        self.inboxes[key] = id
        return id
    }

    /// Takes a message back.
    func recall(_ id: MessageID, _ app: AppID, _ group: inout Group) throws -> RecallOutcome? {
        guard let offset = try MessageSearch.offset(of: id, upTo: self.nextOffset, with: self.sql.messageFrom) else {
            return nil
        }
        let select = self.sql.messageAt
        select.bind(1, offset)
        defer { select.reset() }
        guard try select.step(), select.integer(0) == Int64(app.rawValue) else { return nil }
        let topic = select.isNull(4) ? nil : select.integer(4)
        let flags = select.integer(1)
        let expires = select.integer(2)
        let inboxes = Codec.inboxes(select.bytes(3))
        if flags & MessageFlag.recalled != 0 { return .recalled }
        if expires <= self.now { return .expired }
        try self.begin(&group)
        self.sql.setFlags.bind(1, flags | MessageFlag.recalled)
        self.sql.setFlags.bind(2, self.wall)
        self.sql.setFlags.bind(3, offset)
        try self.sql.setFlags.run()
        group.rows += 1
        if let topic { try self.recall(offset, of: topic, &group) }
        group.recalled.append(offset)
        group.commits.append(
            .recalled(offset: offset, targets: try inboxes.compactMap { try InboxNames.find($0, self.db) }))
        return .recalled
    }
}

import MartletCore
import MartletWire
import Synchronization

extension Reader {
    /// What a status derives a device's state from, as far as it is the message's own.
    private struct Header {
        var offset: UInt64
        var priority: Priority
        var expiresAt: Int64
        /// Unix time in milliseconds.
        var recalledAt: Int64?
        var isExpired: Bool
        /// A device first seen from this time on is not addressed. One bound in the very millisecond of a live-only
        /// publish is.
        var seenBefore: Int64
        var targets: [Target] = []
    }

    private struct Target {
        var key: InboxKey
        var lane: Lane
        /// Unix time in milliseconds.
        var collapsedAt: Int64?
        var trimmed: Bool
    }

    /// - Parameter kept: the records that are newer than their rows, as of before this call.
    func status(_ request: StatusRequest, kept: [DeviceKey: DeviceState]) throws -> MessageStatus? {
        let end = self.shared.memtable.withLock { $0.end }
        try self.begin.run()
        defer { try? self.commit.run() }
        guard let offset = try MessageSearch.offset(of: request.id, upTo: end, with: self.search) else { return nil }
        self.header.bind(1, offset)
        defer { self.header.reset() }
        guard try self.header.step(), self.header.integer(0) == Int64(request.app.rawValue) else { return nil }
        let flags = self.header.integer(1)
        let expires = self.header.integer(4)
        var header = Header(
            offset: offset, priority: Priority(rawValue: UInt8(truncatingIfNeeded: self.header.integer(2))) ?? .low,
            expiresAt: expires, recalledAt: flags & MessageFlag.recalled != 0 ? self.header.integer(5) : nil,
            isExpired: expires <= request.now,
            seenBefore: flags & MessageFlag.liveOnly != 0 ? expires + 1 : expires)
        let at = self.header.integer(3)
        for inbox in Codec.inboxes(self.header.bytes(6)) {
            guard let key = try InboxNames.find(inbox, with: self.inboxName) else { continue }
            header.targets.append(
                Target(
                    key: key, lane: Lane(key.scope, header.priority),
                    collapsedAt: try self.collapsed(inbox, offset),
                    trimmed: try self.isTrimmed(inbox, header.priority, offset)))
        }
        var result = MessageStatus(
            id: request.id, targets: header.targets.map(\.key), priority: header.priority, at: at, expiresAt: expires,
            recalled: header.recalledAt != nil, devices: [], next: nil, counts: [:])
        var cut = false
        try self.devices(of: header, request.app, kept) { name, device in
            guard let delivery = try self.delivery(name, device, header, request.app) else { return }
            result.counts[delivery.state, default: 0] += 1
            if let after = request.after, !(after.utf8.lexicographicallyPrecedes(name.utf8)) { return }
            if result.devices.count < request.limit { result.devices.append(delivery) } else { cut = true }
        }
        if cut { result.next = result.devices.last?.device }
        return result
    }

    /// When a newer message took its place in an inbox; nil if none did.
    private func collapsed(_ inbox: Int64, _ offset: UInt64) throws -> Int64? {
        defer { self.superseded.reset() }
        self.superseded.bind(1, offset)
        self.superseded.bind(2, inbox)
        return try self.superseded.step() ? self.superseded.integer(0) : nil
    }

    private func isTrimmed(_ inbox: Int64, _ priority: Priority, _ offset: UInt64) throws -> Bool {
        defer { self.trim.reset() }
        self.trim.bind(1, inbox)
        self.trim.bind(2, Int64(priority.rawValue))
        return try self.trim.step() && self.trim.unsigned(0) >= offset
    }

    /// Calls `body` for each device that a target names, once, by name (as bytes).
    private func devices(
        of header: Header, _ app: AppID, _ kept: [DeviceKey: DeviceState],
        _ body: (String, DeviceState.Values) throws -> Void
    ) throws {
        func values(_ row: Statement, _ name: String) -> DeviceState.Values {
            kept[DeviceKey(app: app, name: name)]?.values ?? DeviceState.read(row, shared: self.shared)
        }
        if header.targets.contains(where: { $0.key.scope == .app }) {
            defer { self.allDevices.reset() }
            self.allDevices.bind(1, Int64(app.rawValue))
            while try self.allDevices.step() {
                let name = self.allDevices.text(11) ?? ""
                try body(name, values(self.allDevices, name))
            }
            return
        }
        var found: [DeviceKey: DeviceState.Values] = [:]
        for target in header.targets {
            let select = target.key.scope == .user ? self.userDevices : self.oneDevice
            defer { select.reset() }
            select.bind(1, Int64(app.rawValue))
            select.bind(2, target.key.name)
            while try select.step() {
                let name = select.text(11) ?? ""
                found[DeviceKey(app: app, name: name)] = values(select, name)
            }
        }
        for (key, device) in found.sorted(by: { $0.key.name.utf8.lexicographicallyPrecedes($1.key.name.utf8) }) {
            try body(key.name, device)
        }
    }

    /// Where the message stands on one device; nil if it does not address it.
    private func delivery(
        _ name: String, _ device: DeviceState.Values, _ header: Header, _ app: AppID
    ) throws -> MessageStatus.Delivery? {
        var best: MessageStatus.Delivery?
        for target in header.targets {
            switch target.key.scope {
            case .user: guard isSameName(device.user, target.key.name), device.bound < header.seenBefore else { continue }
            case .device: guard isSameName(name, target.key.name), device.created < header.seenBefore else { continue }
            case .app: guard device.created < header.seenBefore else { continue }
            }
            var delivery = MessageStatus.Delivery(device: name, user: device.user, state: .queued)
            // A range that ends after the message was taken back or replaced may reach across it unsent.
            let until = min(header.recalledAt ?? .max, target.collapsedAt ?? .max)
            delivery.sentAt = try self.time(.sent, device, target.lane, header.offset, until: until)
            delivery.deliveredAt = try self.time(.delivered, device, target.lane, header.offset)
            let acked = device.acked[target.lane] >= header.offset
            let gone: DeliveryState? =
                header.recalledAt != nil
                ? .recalled : target.trimmed ? .inboxFull : target.collapsedAt != nil ? .collapsed : nil
            // What was sent just before a crash may have been acked without its sending having been recorded.
            let lostSent = gone == nil && header.offset <= self.shared.uncleanEnd && delivery.deliveredAt != nil
            if acked, delivery.sentAt != nil || lostSent {
                delivery.state = .delivered
            } else {
                delivery.deliveredAt = nil
                delivery.state = delivery.sentAt != nil ? .sent : gone ?? (header.isExpired ? .expired : .queued)
            }
            if let other = best, other.state.rank <= delivery.state.rank { continue }
            best = delivery
        }
        return best
    }

    /// When a message was sent or delivered, up to a time; nil if it was not.
    private func time(
        _ kind: JournalRange.Kind, _ device: DeviceState.Values, _ lane: Lane, _ offset: UInt64, until: Int64 = .max
    ) throws -> Int64? {
        var earliest: Int64?
        for range in device.journal
        where range.kind == kind && range.lane == lane && range.from <= offset && offset <= range.to
            && range.at <= until
        {
            earliest = min(earliest ?? range.at, range.at)
        }
        defer { self.journal.reset() }
        self.journal.bind(1, device.id)
        self.journal.bind(2, Int64(kind.rawValue))
        self.journal.bind(3, lane.index)
        self.journal.bind(4, offset)
        while try self.journal.step() {
            let at = self.journal.integer(1)
            if self.journal.unsigned(0) <= offset, at <= until { earliest = min(earliest ?? at, at) }
        }
        return earliest
    }
}

extension DeliveryState {
    /// Of a device that several targets name, the state of the least rank counts.
    fileprivate var rank: Int {
        switch self {
        case .delivered: 0
        case .sent: 1
        case .queued: 2
        case .recalled: 3
        case .collapsed: 4
        case .inboxFull: 5
        case .expired: 6
        }
    }
}

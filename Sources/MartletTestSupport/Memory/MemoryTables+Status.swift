import MartletCore
import MartletWire

extension MemoryTables {
    func status(_ request: StatusRequest, devices: [DeviceKey: DeviceRow]) -> MessageStatus? {
        guard let offset = self.offsets[request.id], let row = self.rows[offset], row.app == request.app else { return nil }
        var all: [MessageStatus.Delivery] = []
        for (device, deviceRow) in devices where device.app == request.app {
            guard row.message.liveOnly || deviceRow.firstSeen < row.message.expiresAt else { continue }
            guard let target = row.targets.first(where: { Self.addresses($0, device, deviceRow) }) else { continue }
            all.append(self.delivery(of: row, to: device, deviceRow, through: target, now: request.now))
        }
        all.sort { $0.device < $1.device }
        var counts: [DeliveryState: Int] = [:]
        for delivery in all { counts[delivery.state, default: 0] += 1 }
        let rest = all.drop { delivery in request.after.map { delivery.device <= $0 } ?? false }
        let page = Array(rest.prefix(max(0, request.limit)))
        return MessageStatus(
            id: request.id, targets: row.targets, priority: row.message.priority, at: row.message.at,
            expiresAt: row.message.expiresAt, recalled: row.recalledAt != nil, devices: page,
            next: page.count < rest.count ? page.last?.device : nil, counts: counts)
    }

    private static func addresses(_ target: InboxKey, _ device: DeviceKey, _ row: DeviceRow) -> Bool {
        switch target.scope {
        case .user: isSameName(row.user, target.name)
        case .device: isSameName(device.name, target.name)
        case .app: true
        }
    }

    private func delivery(
        of row: MessageRow, to device: DeviceKey, _ deviceRow: DeviceRow, through target: InboxKey, now: Int64
    ) -> MessageStatus.Delivery {
        let offset = row.message.offset
        let lane = Lane(target.scope, row.message.priority)
        // A range that ends after the message was taken back or replaced may reach across it unsent.
        let until = min(row.recalledAt ?? .max, row.collapsedAt[target] ?? .max)
        let ranges = deviceRow.journal.filter { $0.lane == lane && $0.from <= offset && offset <= $0.to }
        let sent = ranges.first { $0.kind == .sent && $0.at <= until }
        let delivered = ranges.first { $0.kind == .delivered }
        let state: DeliveryState
        if sent != nil {
            state = deviceRow.acked[lane] >= offset ? .delivered : .sent
        } else if row.recalledAt != nil {
            state = .recalled
        } else if row.trimmedFrom.contains(target) {
            state = .inboxFull
        } else if row.collapsedAt[target] != nil {
            state = .collapsed
        } else {
            state = row.message.isExpired(at: now) ? .expired : .queued
        }
        return .init(
            device: device.name, user: deviceRow.user, state: state, sentAt: sent?.at,
            deliveredAt: state == .delivered ? delivered?.at : nil)
    }
}

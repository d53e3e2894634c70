import MartletCore
import MartletWire

extension LogStoreContract {
    static let statusCases: [Case] = [
        Case(name: "a message goes from queued to sent to delivered, with times") { fixture in
            try await fixture.open()
            let ids = try await fixture.publish("a")
            let offset = fixture.store.end
            try expectEqual(try await fixture.state(ids[0]), .queued, "at first")
            let lane = Lane(.user, .medium)
            let at = fixture.clock.wall
            fixture.record(
                sent: Positions([lane: offset]),
                journal: [JournalRange(kind: .sent, lane: lane, from: offset, to: offset, at: at + 1)])
            let sent = try await fixture.status(ids[0])
            try expectEqual(
                sent.devices, [.init(device: "phone", user: "alice", state: .sent, sentAt: at + 1)], "after it was sent"
            )
            fixture.record(
                acked: Positions([lane: offset]),
                journal: [JournalRange(kind: .delivered, lane: lane, from: 1, to: offset, at: at + 5)])
            let status = try await fixture.status(ids[0])
            let delivery = MessageStatus.Delivery(
                device: "phone", user: "alice", state: .delivered, sentAt: at + 1, deliveredAt: at + 5)
            try expectEqual(status.devices, [delivery], "after the ack")
            try expectEqual(status.counts, [.delivered: 1], "the counts")
            try expectEqual(status.targets, [.user("alice", in: .dev)], "the targets")
            try expectEqual(status.at, at, "the time of the publish")
            try expectEqual(status.expiresAt, fixture.clock.now + 1_800_000, "the expiry")
            try expectEqual(status.priority, .medium, "the priority")
            try expectEqual(status.next, nil, "no further page")
        },
        Case(name: "the journal is still there a while later") { fixture in
            try await fixture.open()
            let ids = try await fixture.publish("a", "b", ttl: 60)
            let lane = Lane(.user, .medium)
            let end = fixture.store.end
            fixture.record(
                acked: Positions([lane: end]), sent: Positions([lane: end]),
                journal: [
                    JournalRange(kind: .sent, lane: lane, from: end - 1, to: end, at: 10),
                    JournalRange(kind: .delivered, lane: lane, from: 1, to: end, at: 20),
                ])
            try await Task.sleep(for: .milliseconds(700))
            fixture.clock.advance(milliseconds: 3_600_000)
            for id in ids {
                let delivery = try await fixture.status(id).devices.first
                try expectEqual(delivery?.state, .delivered, "an hour after it expired")
                try expectEqual(delivery?.sentAt, 10, "the time it was sent")
                try expectEqual(delivery?.deliveredAt, 20, "the time of the ack")
            }
        },
        Case(name: "expired, recalled and collapsed, unless sent before") { fixture in
            try await fixture.open("a")
            try await fixture.open("b")
            let lane = Lane(.user, .medium)
            func send(_ offset: UInt64) {
                fixture.record(
                    "a", sent: Positions([lane: offset]),
                    journal: [JournalRange(kind: .sent, lane: lane, from: offset, to: offset, at: 1)])
            }
            let recalled = try await fixture.publish("r")
            send(fixture.store.end)
            _ = try await fixture.store.recall(recalled[0], app: .dev)
            let collapsed = try await fixture.publish("c1", key: "k")
            send(fixture.store.end)
            try await fixture.publish("c2", key: "k")
            let expired = try await fixture.publish("e", ttl: 1)
            send(fixture.store.end)
            fixture.clock.advance(milliseconds: 1_000)
            for (id, state) in [
                (recalled[0], DeliveryState.recalled), (collapsed[0], .collapsed), (expired[0], .expired),
            ] {
                try expectEqual(try await fixture.state(id, on: "a"), .sent, "sent before it was \(state)")
                try expectEqual(try await fixture.state(id, on: "b"), state, "never sent")
                try expectEqual(try await fixture.status(id).counts, [.sent: 1, state: 1], "the counts")
            }
            try expect(try await fixture.status(recalled[0]).recalled, "the message says that it was recalled")
            try expect(!(try await fixture.status(expired[0]).recalled), "and another that it was not")
        },
        Case(name: "a sent range that reaches across a recalled or collapsed message does not make it sent") { fixture in
            try await fixture.open()
            let ids = try await fixture.publish("recalled", "first")
            let first = fixture.store.end - 1
            let collapsed = try await fixture.publish("collapsed", key: "k")
            _ = try await fixture.store.recall(ids[0], app: .dev)
            try await fixture.publish("newest", priority: .high, key: "k")
            let last = try await fixture.publish("last")
            fixture.clock.advance(milliseconds: 10)
            let lane = Lane(.user, .medium)
            fixture.record(
                sent: Positions([lane: fixture.store.end]),
                journal: [
                    JournalRange(
                        kind: .sent, lane: lane, from: first, to: fixture.store.end, at: fixture.clock.wall)
                ])
            try expectEqual(try await fixture.state(ids[0]), .recalled, "taken back before the range ended")
            try expectEqual(try await fixture.state(collapsed[0]), .collapsed, "replaced before the range ended")
            try expectEqual(try await fixture.state(ids[1]), .sent, "the first of the range that was sent")
            try expectEqual(try await fixture.state(last[0]), .sent, "the last")
        },
        Case(name: "an acked position alone does not make a message delivered that was never sent") { fixture in
            try await fixture.open()
            let ids = try await fixture.publish("a", ttl: 1)
            try await fixture.publish("b")
            fixture.clock.advance(milliseconds: 1_000)
            fixture.record(acked: Positions([Lane(.user, .medium): fixture.store.end]))
            try expectEqual(try await fixture.state(ids[0]), .expired, "it expired unsent")
        },
        Case(name: "a broadcast counts all devices and lists them by page") { fixture in
            for number in 0..<25 { try await fixture.open("d\(100 + number)", user: number % 2 == 0 ? "alice" : nil) }
            let ids = try await fixture.publish("x", to: [.everyone(in: .dev)])
            var names: [String] = []
            var after: String?
            repeat {
                let page = try await fixture.status(ids[0], limit: 10, after: after)
                try expectEqual(page.counts, [.queued: 25], "the counts, whatever the page")
                try expect(page.devices.count <= 10, "at most a page")
                names += page.devices.map(\.device)
                after = page.next
            } while after != nil
            try expectEqual(names, (0..<25).map { "d\(100 + $0)" }, "all, by name")
        },
        Case(name: "addressed are a user's devices and those first seen before it expires") { fixture in
            try await fixture.open("before")
            try await fixture.open("bobs", user: "bob")
            let ids = try await fixture.publish("x", ttl: 10)
            try await fixture.open("between")
            fixture.clock.advance(milliseconds: 10_000)
            try await fixture.open("after")
            let status = try await fixture.status(ids[0])
            try expectEqual(status.devices.map(\.device), ["before", "between"], "the devices")
        },
        Case(name: "a device that several targets name is listed once") { fixture in
            try await fixture.open()
            let targets: [InboxKey] = [.user("alice", in: .dev), .device("phone", in: .dev), .everyone(in: .dev)]
            let ids = try await fixture.publish("x", to: targets)
            let status = try await fixture.status(ids[0])
            try expectEqual(status.targets, targets, "the targets in their order")
            try expectEqual(status.devices.map(\.device), ["phone"], "once")
            try expectEqual(status.counts, [.queued: 1], "counted once")
        },
        Case(name: "a status is the app's own, and kept for a day after the expiry") { fixture in
            let ids = try await fixture.publish("x", ttl: 10)
            let other = StatusRequest(app: AppID(2), id: ids[0], now: fixture.clock.now)
            try expectEqual(try await fixture.store.status(other), nil, "another app's message")
            let unknown = MessageID(high: ids[0].high, low: ids[0].low ^ 1)
            try expectEqual(
                try await fixture.store.status(StatusRequest(app: .dev, id: unknown, now: 0)), nil, "an unknown message"
            )
            fixture.clock.advance(milliseconds: 10_000 + Int64(fixture.limits.reportSeconds) * 1_000 - 1)
            _ = try await fixture.status(ids[0])
        },
    ]
}

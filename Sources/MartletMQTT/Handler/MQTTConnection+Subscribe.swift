import MartletCore
import MartletNet
import MartletWire
import NIOCore

/// SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0 §3.8 to §3.11).
extension MQTTConnection {
    /// The topic that stands for the device's inboxes.
    static let inboxTopic = "$inbox"

    /// The topic on which a client is told what it misses, if it subscribes to it; with QoS 0, and for its connection only.
    static let gapTopic = "$gap"

    /// Gaps that are held for who may ask for them yet.
    private static let untoldGapsMost = 8

    /// The answer to one SUBSCRIBE, put together as its parts come.
    private final class Answer {
        var reasons: [MQTTReasonCode]
        var left: Int

        init(_ count: Int) {
            self.reasons = Array(repeating: .unspecifiedError, count: count)
            self.left = count
        }
    }

    func subscribe(_ subscribe: MQTTPacket.Subscribe) {
        let answer = Answer(subscribe.subscriptions.count)
        let identifier = subscribe.properties.subscriptionIdentifiers.first ?? 0
        for (index, subscription) in subscribe.subscriptions.enumerated() {
            self.start(subscription, identifier) { [self] reason in
                answer.reasons[index] = reason
                answer.left -= 1
                guard answer.left == 0, self.context != nil else { return }
                self.send(.suback(.init(packetID: subscribe.packetID, answer.reasons)), capacity: 8 + answer.reasons.count)
                self.tellGaps()
                self.flushOutput()
            }
        }
    }

    /// - Parameter done: called once, on the connection's loop.
    private func start(_ subscription: MQTTPacket.Subscription, _ identifier: UInt32, done: @escaping (MQTTReasonCode) -> Void) {
        guard let handle = self.handle else { return done(.unspecifiedError) }
        let qos = subscription.qos
        // In 3.1.1 too: the filter would match what nobody can publish to.
        let isBroken = subscription.filter.group == nil && subscription.filter.text.utf8.starts(with: "$share/".utf8)
        let isNamed = subscription.filter.group.map { nameProblem($0, limit: self.services.limits.nameBytes) == nil } ?? true
        guard subscription.filter.isValid, !isBroken, isNamed else { return done(.topicFilterInvalid) }
        if isSameName(subscription.filter.filter, Self.inboxTopic) {
            return self.startInbox(subscription, handle, done: done)
        }
        if isSameName(subscription.filter.filter, Self.gapTopic) {
            guard subscription.filter.group == nil else { return done(.topicFilterInvalid) }
            self.wantsGaps = true
            return done(.grantedQoS0)
        }
        do throws(WireError) {
            var wish = SubscribeWish(filter: try TopicFilter(parsing: subscription.filter.filter, limits: self.services.limits))
            wish.options.qos = qos.rawValue
            wish.options.noLocal = subscription.noLocal
            wish.options.retainAsPublished = subscription.retainAsPublished
            wish.options.retainHandling = .init(rawValue: subscription.retainHandling.rawValue) ?? .always
            wish.options.identifier = identifier
            wish.options.share = subscription.filter.group
            // What a member leaves goes to another, so it cannot be exactly once.
            let granted = wish.options.share == nil ? qos : min(qos, .atLeastOnce)
            try handle.subscribe([wish]) { error in done(error.map { Self.reason($0) } ?? .granted(granted)) }
        } catch {
            done(error.code == .badRequest ? .topicFilterInvalid : Self.reason(error))
        }
    }

    private func startInbox(_ subscription: MQTTPacket.Subscription, _ handle: any SessionHandle, done: @escaping (MQTTReasonCode) -> Void) {
        guard subscription.filter.group == nil else { return done(.topicFilterInvalid) }
        guard self.mayHaveInbox else { return done(.notAuthorized) }
        // A window of one is the topics'.
        let acks = subscription.qos > .atMostOnce && self.window > 1
        self.isInboxAcked = acks
        handle.openInbox(windowMessages: self.services.limits.windowMessages, acks: acks) { error in
            done(error.map { Self.reason($0) } ?? (acks ? .grantedQoS1 : .grantedQoS0))
        }
    }

    /// Tells what is missing, or holds it: a queue has overflowed before its client can have asked.
    ///
    /// - Parameter gap: JSON.
    func tellGap(_ gap: ByteBuffer) {
        self.untoldGaps.append(gap)
        if self.wantsGaps { self.tellGaps() }
        if self.untoldGaps.count > Self.untoldGapsMost { self.untoldGaps.removeFirst() }
    }

    private func tellGaps() {
        guard self.wantsGaps, !self.untoldGaps.isEmpty else { return }
        for gap in self.untoldGaps {
            self.send(.publish(.init(topic: Self.gapTopic, payload: gap)), capacity: gap.readableBytes + 16)
        }
        self.untoldGaps = []
    }

    private static func reason(_ error: WireError) -> MQTTReasonCode {
        switch error.code {
        case .forbidden, .unauthorized, .tokenExpired: .notAuthorized
        case .tooManyTopics, .tooManyDevices: .quotaExceeded
        case .badRequest: .topicFilterInvalid
        default: .unspecifiedError
        }
    }

    func unsubscribe(_ unsubscribe: MQTTPacket.Unsubscribe) {
        guard let handle = self.handle else { return }
        var reasons: [MQTTReasonCode] = Array(repeating: .noSubscriptionExisted, count: unsubscribe.filters.count)
        var filters: [(filter: TopicFilter, share: String?)] = []
        var places: [Int] = []
        for (index, filter) in unsubscribe.filters.enumerated() {
            if isSameName(filter.filter, Self.inboxTopic), filter.group == nil {
                if handle.closeInbox() { reasons[index] = .success }
            } else if isSameName(filter.text, Self.gapTopic) {
                if self.wantsGaps { reasons[index] = .success }
                self.wantsGaps = false
            } else if filter.isValid, let parsed = try? TopicFilter(parsing: filter.filter, limits: self.services.limits) {
                filters.append((parsed, filter.group))
                places.append(index)
            } else {
                reasons[index] = .topicFilterInvalid
            }
        }
        let known = reasons
        handle.unsubscribe(filters) { [self] found in
            var reasons = known
            for (place, isFound) in zip(places, found) where isFound { reasons[place] = .success }
            self.send(.unsuback(.init(packetID: unsubscribe.packetID, reasons)), capacity: 8 + reasons.count)
            self.flushOutput()
        }
    }
}

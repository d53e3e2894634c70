import Foundation
import MartletClient
import MartletProto
import SwiftProtobuf

/// What a call has been asked, to understand its answers; frames to protobuf and back.
struct Talk: Sendable {
    /// Numbers of subscriptions lie above those of publishes.
    private static let firstSubscription: UInt64 = 1 << 40

    private(set) var isWelcome = false
    private var lastPing: UInt64 = 0
    private var lastSubscription = Self.firstSubscription
    /// What was asked for and has no answer yet.
    private var subscriptions: [UInt64: [String]] = [:]

    mutating func request(_ frame: ClientFrame) -> ProtoConnectRequest {
        .with {
            switch frame {
            case .ack(let seqs): $0.ack.seqs = seqs
            case .subscribe(let wishes):
                self.lastSubscription += 1
                self.subscriptions[self.lastSubscription] = wishes.map(\.topic)
                $0.subscribe.ref = self.lastSubscription
                $0.subscribe.topics = wishes.map { wish in
                    .with {
                        $0.topic = wish.topic
                        $0.since = wish.since?.text ?? ""
                        $0.presence = wish.presence
                    }
                }
            case .unsubscribe(let topics): $0.unsubscribe.topics = topics
            case .publish(let draft):
                $0.publish.ref = UInt64(draft.ref)
                $0.publish.message = Self.draft(draft)
            case .renew(let token): $0.renew.token = token
            case .heartbeat: $0.pong.id = self.lastPing
            }
        }
    }

    private static func draft(_ draft: Draft) -> ProtoDraft {
        .with {
            $0.topic = draft.topic
            $0.json = String(decoding: draft.data, as: UTF8.self)
            $0.type = draft.type ?? ""
            if let ttl = draft.ttlSeconds { $0.ttlSeconds = UInt32(clamping: ttl) }
            $0.retain = draft.retain
            $0.idempotencyKey = draft.idempotencyKey
        }
    }

    mutating func frames(_ response: ProtoConnectResponse) -> [ServerFrame] {
        switch response.frame {
        case .welcome(let welcome):
            self.isWelcome = true
            return [.welcome(Self.welcome(welcome))]
        case .message(let message): return [.message(Self.message(message))]
        case .gap(let gap):
            return [
                .gap(
                    Gap(
                        reason: gap.reason, scope: gap.scope.nonEmpty, topic: gap.topic.nonEmpty, from: gap.from == 0 && gap.to == 0 ? nil : gap.from,
                        to: gap.from == 0 && gap.to == 0 ? nil : gap.to),
                    cursor: gap.cursor.nonEmpty)
            ]
        case .result(let result): return self.answer(result)
        case .drain(let drain): return [.drain(afterMs: drain.reconnectAfterMs)]
        case .ping(let ping):
            self.lastPing = ping.id
            return [.heartbeat]
        case .presence(let presence): return [.presence(Self.presence(presence))]
        case .unsubscribed(let one): return [.unsubscribed(topic: one.topic, reason: one.reason)]
        // Why the call ends is in its trailers too.
        case .pong, .error, nil: return [.sign]
        }
    }

    private mutating func answer(_ result: ProtoConnectResponse.Result) -> [ServerFrame] {
        let topics = self.subscriptions.removeValue(forKey: result.ref)
        switch result.outcome {
        case .subscribed(let list): return [.subscribed(topics: list.topics.map(\.topic), cursor: list.cursor.nonEmpty)]
        case .published(let published): return [.published(ref: Int(clamping: result.ref), id: published.id)]
        case .renewed(let renewed): return [.renewed(expiresAtMs: renewed.expiresAtMs == 0 ? nil : renewed.expiresAtMs)]
        case .error(let error):
            let refusal = MartletError(.init(rawValue: error.code), error.message, retryAfterMs: error.retryAfterMs == 0 ? nil : error.retryAfterMs)
            if let topics { return topics.map { .refused(refusal, .subscribe(topic: $0)) } }
            return [.refused(refusal, result.ref == 0 ? .renewal : .publish(ref: Int(clamping: result.ref)))]
        case .unsubscribed, nil: return [.sign]
        }
    }

    private static func welcome(_ welcome: ProtoConnectResponse.Welcome) -> Welcome {
        var made = Welcome()
        made.session = welcome.session
        made.heartbeatMs = Int64(welcome.heartbeatMs)
        made.retryMs = welcome.retryMs
        made.serverTimeMs = welcome.serverTimeMs
        made.expiresAtMs = welcome.expiresAtMs == 0 ? nil : welcome.expiresAtMs
        made.cursor = welcome.cursor.nonEmpty
        made.device = welcome.device.nonEmpty
        return made
    }

    private static func message(_ message: ProtoMessage) -> IncomingMessage {
        let (data, isBinary): (Data, Bool) =
            switch message.data {
            case .json(let text): (Data(text.utf8), false)
            case .binary(let bytes): (bytes, true)
            case nil: (Data(), false)
            }
        let priority: MartletClient.Message.Priority? =
            switch message.priority {
            case .high: .high
            case .medium: .medium
            case .low: .low
            default: nil
            }
        return IncomingMessage(
            seq: message.seq == 0 ? nil : message.seq, cursor: message.cursor.nonEmpty,
            message: MartletClient.Message(
                id: message.id, at: Date(timeIntervalSince1970: Double(message.atMs) / 1_000), type: message.type.nonEmpty,
                topic: message.topic.nonEmpty,
                priority: priority, isRedelivered: message.redelivered, isRetained: message.retained, data: data,
                contentType: isBinary ? message.contentType.nonEmpty ?? "application/octet-stream" : nil,
                notification: message.notificationJson.nonEmpty.map { Data($0.utf8) }, json: Self.json(message, data, isBinary)))
    }

    /// The message as the other transports have it.
    private static func json(_ message: ProtoMessage, _ data: Data, _ isBinary: Bool) -> Data {
        var text = #"{"id":"\#(message.id)","at":\#(message.atMs)"#
        if message.redelivered { text = #"{"redelivered":true,"# + text.dropFirst() }
        if let topic = message.topic.nonEmpty { text += #","topic":\#(FrameCoding.quoted(topic))"# }
        if message.retained { text += #","retained":true"# }
        if let type = message.type.nonEmpty { text += #","type":\#(FrameCoding.quoted(type))"# }
        if isBinary {
            text += #","dataBase64":"\#(data.base64EncodedString())""#
            if let type = message.contentType.nonEmpty { text += #","contentType":\#(FrameCoding.quoted(type))"# }
        } else if !data.isEmpty {
            text += #","data":\#(String(decoding: data, as: UTF8.self))"#
        }
        if let notification = message.notificationJson.nonEmpty { text += #","notification":\#(notification)"# }
        switch message.priority {
        case .high: text += #","priority":"high""#
        case .medium: text += #","priority":"medium""#
        case .low: text += #","priority":"low""#
        default: break
        }
        if let extra = message.extraJson.nonEmpty, extra.count > 2 { text += "," + extra.dropFirst().dropLast() }
        return Data((text + "}").utf8)
    }

    private static func presence(_ presence: ProtoPresence) -> Presence {
        func people(_ members: [ProtoPresence.Member]) -> [Presence.Member] {
            members.map { Presence.Member(user: $0.user.nonEmpty, device: $0.device.nonEmpty) }
        }
        return Presence(
            topic: presence.topic, count: Int(clamping: presence.count), joined: people(presence.joined), left: people(presence.left),
            joinedCount: Int(clamping: presence.joinedCount), leftCount: Int(clamping: presence.leftCount))
    }
}

extension String {
    /// nil instead of nothing, as protobuf leaves it out.
    fileprivate var nonEmpty: String? { self.isEmpty ? nil : self }
}

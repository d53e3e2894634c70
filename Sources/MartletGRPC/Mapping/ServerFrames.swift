import MartletCore
import MartletProto
import MartletWire
import SwiftProtobuf

/// What the server says beside messages, as `ConnectResponse`.
enum ServerFrames {
    static func welcome(_ welcome: Welcome) -> ProtoConnectResponse {
        .with {
            $0.welcome = .with {
                $0.session = welcome.session
                $0.heartbeatMs = UInt32(clamping: welcome.heartbeatMs)
                $0.windowMessages = UInt32(clamping: welcome.windowMessages)
                $0.windowBytes = UInt32(clamping: welcome.windowBytes)
                $0.retryMs = welcome.retryMs
                $0.serverTimeMs = welcome.serverTime
                $0.cursor = welcome.cursor.description
                $0.user = welcome.user ?? ""
                $0.device = welcome.device ?? ""
                $0.expiresAtMs = welcome.expiresAtMs ?? 0
                $0.topics = welcome.topics.map(self.subscribed)
            }
        }
    }

    static func gap(_ gap: GapNotice) -> ProtoConnectResponse {
        .with {
            $0.gap = .with {
                $0.reason = gap.reason.rawValue
                $0.scope = gap.scope.name
                $0.priority = gap.priority?.proto ?? .unspecified
                $0.from = gap.from ?? 0
                $0.to = gap.to ?? 0
            }
        }
    }

    static func gap(_ gap: TopicGap, cursor: Cursor) -> ProtoConnectResponse {
        .with {
            $0.gap = .with {
                $0.reason = gap.reason.rawValue
                $0.topic = gap.topic
                $0.from = gap.from ?? 0
                $0.to = gap.to ?? 0
                $0.cursor = cursor.description
            }
        }
    }

    private static func subscribed(_ notice: SubscribedNotice) -> ProtoSubscribed {
        .with {
            $0.topic = notice.filter.text
            if let count = notice.count { $0.count = UInt64(clamping: count) }
        }
    }

    static func subscribed(_ notices: [SubscribedNotice], cursor: Cursor, ref: UInt64) -> ProtoConnectResponse {
        .with {
            $0.result = .with {
                $0.ref = ref
                $0.subscribed = .with {
                    $0.topics = notices.map(self.subscribed)
                    $0.cursor = cursor.description
                }
            }
        }
    }

    static func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason) -> ProtoUnsubscribed {
        .with {
            $0.topic = filter.text
            $0.reason = reason.rawValue
        }
    }

    static func unsubscribed(_ all: [ProtoUnsubscribed], ref: UInt64) -> ProtoConnectResponse {
        .with {
            $0.result = .with {
                $0.ref = ref
                $0.unsubscribed = .with { $0.topics = all }
            }
        }
    }

    static func published(_ id: MessageID, ref: UInt64) -> ProtoConnectResponse {
        .with {
            $0.result = .with {
                $0.ref = ref
                $0.published = .with { $0.id = "\(id)" }
            }
        }
    }

    static func renewed(expiresAtMs: Int64?) -> ProtoConnectResponse {
        .with { $0.result = .with { $0.renewed = .with { $0.expiresAtMs = expiresAtMs ?? 0 } } }
    }

    static func refused(_ error: WireError, ref: UInt64) -> ProtoConnectResponse {
        .with {
            $0.result = .with {
                $0.ref = ref
                $0.error = ProtoError(error)
            }
        }
    }

    static func error(_ error: WireError) -> ProtoConnectResponse { .with { $0.error = ProtoError(error) } }

    static func drain(reconnectAfterMs: Int64) -> ProtoConnectResponse { .with { $0.drain = .with { $0.reconnectAfterMs = reconnectAfterMs } } }

    static func ping(_ id: UInt64) -> ProtoConnectResponse { .with { $0.ping = .with { $0.id = id } } }

    static func pong(_ id: UInt64) -> ProtoConnectResponse { .with { $0.pong = .with { $0.id = id } } }

    static func presence(_ event: PresenceEvent) -> ProtoConnectResponse {
        .with {
            $0.presence = .with {
                $0.topic = event.topic
                $0.count = UInt64(clamping: event.count)
                $0.joined = event.joined.map(self.member)
                $0.left = event.left.map(self.member)
                $0.joinedCount = UInt64(clamping: event.joinedCount)
                $0.leftCount = UInt64(clamping: event.leftCount)
            }
        }
    }

    private static func member(_ member: PresenceMember) -> ProtoPresence.Member {
        .with {
            $0.user = member.user ?? ""
            $0.device = member.device ?? ""
        }
    }
}

extension ProtoError {
    init(_ error: WireError) {
        self.init()
        self.code = error.code.rawValue
        self.message = error.message
        self.limit = Int64(clamping: error.limit ?? 0)
        self.retryAfterMs = error.retryAfterMs ?? 0
    }
}

extension Priority {
    var proto: ProtoPriority {
        switch self {
        case .high: .high
        case .medium: .medium
        case .low: .low
        }
    }
}

extension Scope {
    /// As in a gap.
    fileprivate var name: String {
        switch self {
        case .user: "user"
        case .device: "device"
        case .app: "app"
        }
    }
}

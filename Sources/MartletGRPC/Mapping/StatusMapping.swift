import Crypto
import MartletCore
import MartletProto
import MartletWire
import SwiftProtobuf

/// What became of a message, as `GetMessageResponse`.
enum StatusMapping {
    static func response(_ status: MessageStatus) -> ProtoGetMessageResponse {
        var response = ProtoGetMessageResponse.with {
            $0.id = "\(status.id)"
            $0.atMs = status.at
            $0.expiresAtMs = status.expiresAt
            $0.priority = status.priority.proto
            $0.recalled = status.recalled
            for (state, count) in status.counts where count > 0 { $0.counts[state.rawValue] = UInt64(clamping: count) }
            $0.devices = status.devices.map(self.device)
            $0.nextPageToken = status.next ?? ""
        }
        response.etag = self.etag(response)
        return response
    }

    private static func device(_ delivery: MessageStatus.Delivery) -> ProtoGetMessageResponse.Device {
        .with {
            $0.device = delivery.device
            $0.user = delivery.user ?? ""
            $0.state = delivery.state.rawValue
            $0.sentAtMs = delivery.sentAt ?? 0
            $0.deliveredAtMs = delivery.deliveredAt ?? 0
            if delivery.state == .inboxFull { $0.reason = "inbox_full" }
        }
    }

    /// Of everything else that it says.
    private static func etag(_ response: ProtoGetMessageResponse) -> String {
        var options = BinaryEncodingOptions()
        // Maps come in any order otherwise.
        options.useDeterministicOrdering = true
        let bytes: [UInt8] = (try? response.serializedBytes(options: options)) ?? []
        var text: [UInt8] = []
        Base64URL.encode(SHA256.hash(data: bytes).prefix(12), into: &text)
        return String(decoding: text, as: UTF8.self)
    }
}

import MartletCore
import MartletWire

/// The JSON of `GET /v1/messages/{id}`.
enum StatusJSON {
    static func bytes(_ status: MessageStatus) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(256 + status.devices.count * 128)
        output.append(contentsOf: #"{"id":"\#(status.id)","to":"#.utf8)
        Self.append(status.targets, to: &output)
        output.append(contentsOf: #","priority":"\#(status.priority.name)","at":\#(status.at),"expiresAt":\#(status.expiresAt)"#.utf8)
        output.append(contentsOf: #","recalled":\#(status.recalled),"counts":{"#.utf8)
        let counts = DeliveryState.allCases.compactMap { state in
            status.counts[state].flatMap { $0 > 0 ? #""\#(state.rawValue)":\#($0)"# : nil }
        }
        output.append(contentsOf: counts.joined(separator: ",").utf8)
        output.append(contentsOf: #"},"devices":["#.utf8)
        for (index, delivery) in status.devices.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            Self.append(delivery, to: &output)
        }
        output.append(UInt8(ascii: "]"))
        if let next = status.next {
            output.append(contentsOf: #","next":"#.utf8)
            JSON.append(next, to: &output)
        }
        output.append(contentsOf: "}\n".utf8)
        return output
    }

    private static func append(_ targets: [InboxKey], to output: inout [UInt8]) {
        guard let first = targets.first, first.scope != .app else {
            output.append(contentsOf: #"{"all":true}"#.utf8)
            return
        }
        let name = first.scope == .user ? "user" : "device"
        if targets.count == 1 {
            output.append(contentsOf: #"{"\#(name)":"#.utf8)
            JSON.append(first.name, to: &output)
        } else {
            output.append(contentsOf: #"{"\#(name)s":["#.utf8)
            for (index, target) in targets.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                JSON.append(target.name, to: &output)
            }
            output.append(UInt8(ascii: "]"))
        }
        output.append(UInt8(ascii: "}"))
    }

    private static func append(_ delivery: MessageStatus.Delivery, to output: inout [UInt8]) {
        output.append(contentsOf: #"{"device":"#.utf8)
        JSON.append(delivery.device, to: &output)
        if let user = delivery.user {
            output.append(contentsOf: #","user":"#.utf8)
            JSON.append(user, to: &output)
        }
        output.append(contentsOf: #","state":"\#(delivery.state.rawValue)""#.utf8)
        if delivery.state == .inboxFull { output.append(contentsOf: #","reason":"inbox_full""#.utf8) }
        if let at = delivery.sentAt { output.append(contentsOf: #","sentAt":\#(at)"#.utf8) }
        if let at = delivery.deliveredAt { output.append(contentsOf: #","deliveredAt":\#(at)"#.utf8) }
        output.append(UInt8(ascii: "}"))
    }
}

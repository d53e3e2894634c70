/// Why a peer's bytes were refused. The connection must be closed; in MQTT 5 ``code`` goes before it in a DISCONNECT, or in a CONNACK
/// if it was the CONNECT that was refused (§4.13.1).
package struct MQTTError: Error, Equatable, Sendable {
    /// 0x81 for what cannot be parsed, 0x82 for what the protocol does not permit, or what says it better.
    package var code: MQTTReasonCode
    /// For the reason string and the operator's log.
    package var reason: String

    package init(_ code: MQTTReasonCode, _ reason: String) {
        self.code = code
        self.reason = reason
    }

    static func malformed(_ reason: String) -> Self { Self(.malformedPacket, reason) }
    static func protocolError(_ reason: String) -> Self { Self(.protocolError, reason) }

    static let truncated = Self.malformed("a packet ends within a field")
}

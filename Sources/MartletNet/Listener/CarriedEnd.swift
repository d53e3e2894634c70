package import MartletWire

/// How a protocol that another carries ends: an outbound event for the carrier, in the place of closing the channel. After what was
/// written, it says so in its own words.
package struct CarriedEnd: Sendable {
    package var code: CloseCode
    package var reason: String

    package init(code: CloseCode, reason: String) {
        self.code = code
        self.reason = reason
    }
}

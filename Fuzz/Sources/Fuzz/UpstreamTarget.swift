import MartletBridge
import MartletCore
import MartletWire

/// What a polled URL's server says: where it redirects to, when to come back, and what becomes a message. The first byte decides.
enum UpstreamTarget {
    private static let hosts = HostList(["api.example.com", "[::1]:8000"])

    static func run(_ bytes: UnsafeRawBufferPointer) {
        var choices = Choices(bytes)
        switch choices.byte() % 3 {
        case 0: self.redirect(String(decoding: choices.rest, as: UTF8.self))
        case 1: self.date(String(decoding: choices.rest, as: UTF8.self))
        default: self.message(choices.byte(), Array(choices.rest))
        }
    }

    /// What is taken for a URL is written as one that reads the same, and a user's name stays in its place.
    private static func redirect(_ text: String) {
        guard let start = BridgeURL("https://api.example.com/a/b?c") else { return check(false, "a plain URL is none") }
        if let target = start.redirected(to: text) {
            check(BridgeURL(target.text) == target, "\(target.text) does not lead back")
            check(target.text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }, "a byte that no URL has")
            check(!target.host.contains("@") && !target.host.contains("/"), "\(target.host) is no host")
            if self.hosts.allows(target) { check(["api.example.com", "::1"].contains(target.host), "\(target.host) is not in the list") }
        }
        guard let template = BridgeURL("http://a/{user}/c"), let own = template.of(user: text) else { return }
        let name = own.target.dropFirst().dropLast(2)
        check(own.target.hasSuffix("/c") && !name.contains { "/?#".contains($0) }, "\(own.target): the name has left its place")
        check(BridgeURL(own.text) == own || own.text.utf8.count > 2_048, "\(own.text) is no URL")
        _ = HostList.problem(text)
        _ = self.hosts.allows(address: text)
    }

    private static func date(_ text: String) {
        if let wait = UpstreamDates.retryAfterMs(text, wallMs: 1_700_000_000_000) { check(wait >= 0, "back before now") }
        _ = UpstreamDates.isSettled(lastModified: text, date: text, wallMs: 0)
    }

    /// An answer never says to whom it goes.
    private static func message(_ kind: UInt8, _ body: [UInt8]) {
        let contentType = ["application/json", "text/plain", "image/png", nil][Int(kind % 4)]
        let message = PolledMessage(target: .user("alice", collapseKey: "bridge:x"), type: "t", ttl: 60)
        do throws(WireError) {
            let request = try message.request(body, contentType: contentType, PublishParser(app: AppID(1), limits: Limits()) { _ in [] })
            check(request.targets == [.user("alice", in: AppID(1))] && request.topic == nil, "it goes to somebody else")
            check(request.ttl == 60 && request.collapseKey == "bridge:x" && request.idempotency == nil, "it is another message")
        } catch {
            check([.invalidJSON, .messageTooLarge, .badRequest].contains(error.code), "refused as \(error.code)")
        }
    }
}

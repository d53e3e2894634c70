import MartletMQTT
import NIOCore
import Testing

/// MQTT 5.0 §4.7 and §4.8.2.
struct MQTTTopicTests {
    @Test(arguments: [
        "a", "/", "//", "+", "#", "+/+", "/+", "+/", "a/+/b", "a/#", "/#", "+/#", "sport/tennis/+", "+/tennis/#", "$SYS/#", " ", "é/+", "$share",
        "$shared/a", "a/$share/b",
    ])
    func filters(_ text: String) throws {
        for version in MQTTVersion.allCases {
            let filter = try MQTTTopicFilter(text, version: version)
            #expect(filter.text == text && filter.filter == text && filter.group == nil)
        }
    }

    @Test(arguments: ["", "a+", "+a", "a/b+", "++", "#/", "##", "a#", "#a", "a/#/b", "#/#", "+#", "#+", "a/+b/c", "é+"])
    func wrongFilters(_ text: String) {
        for version in MQTTVersion.allCases { #expect(Self.refusal(text, version) == .topicFilterInvalid) }
        #expect(Self.refusal("$share/g/" + text, .v5) == .topicFilterInvalid)
    }

    @Test(arguments: [("$share/g/a", "g", "a"), ("$share/g//", "g", "/"), ("$share/é/+/#", "é", "+/#"), ("$share/a/$share/b/c", "a", "$share/b/c")])
    func shared(text: String, group: String, topics: String) throws {
        for version in MQTTVersion.allCases {
            let filter = try MQTTTopicFilter(text, version: version)
            #expect(filter.text == text && filter.group == group && filter.filter == topics)
        }
    }

    /// What lacks a part is refused in MQTT 5, and a filter like others in 3.1.1, where it is one if its wildcards are right.
    @Test(arguments: ["$share/", "$share/g", "$share//a", "$share/g/", "$share/+/a", "$share/#", "$share/g+/a", "$share/g#/a"])
    func wrongShared(_ text: String) {
        #expect(Self.refusal(text, .v5) == .topicFilterInvalid)
        let isPlain = text != "$share/g+/a" && text != "$share/g#/a"
        #expect(Self.refusal(text, .v311) == (isPlain ? nil : .topicFilterInvalid))
    }

    /// One that is none stays in its place: the others of the packet may be good.
    @Test func wrongAmongOthers() throws {
        var decoder = MQTTDecoder(version: .v5, limits: .init(packetBytes: 1_000))
        var bytes = ByteBuffer(bytes: Wire.packet(0x82, [0, 1, 0], Wire.text("a/#/b"), [0], Wire.text("a"), [1]))
        guard case .subscribe(let subscribe) = try decoder.decode(&bytes) else { throw CancellationError() }
        #expect(subscribe.subscriptions.map(\.filter.isValid) == [false, true])
        #expect(subscribe.subscriptions.map(\.filter.text) == ["a/#/b", "a"])
    }

    @Test func names() {
        for name in ["a", "/", "a//b", "$SYS", "é", " "] { #expect(MQTTTopicName.isValid(name), "\(name)") }
        for name in ["", "+", "#", "a/+", "a+b", "a/#"] { #expect(!MQTTTopicName.isValid(name), "\(name)") }
    }

    private static func refusal(_ text: String, _ version: MQTTVersion) -> MQTTReasonCode? {
        do throws(MQTTError) {
            _ = try MQTTTopicFilter(text, version: version)
            return nil
        } catch {
            return error.code
        }
    }
}

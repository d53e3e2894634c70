import MartletCore
import MartletWire
import Testing

@Suite("Topic filters")
struct TopicFilterTests {
    private func filter(_ text: String) throws -> TopicFilter { try TopicFilter(parsing: text, limits: Limits()) }

    /// The examples of MQTT 5.0 §4.7.1 and §4.7.2.
    @Test(
        "match as the standard's examples say",
        arguments: [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true), ("#", "a/b/c", true), ("#", "/", true),
            ("sport/tennis/+", "sport/tennis/player1", true), ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false), ("sport/+", "sport/", true),
            ("+/+", "/finance", true), ("/+", "/finance", true), ("+", "/finance", false),
            ("#", "$SYS/monitor", false), ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/", true), ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("a", "a", true), ("a", "A", false), ("a", "a/", false), ("a//b", "a//b", true), ("a/+/b", "a//b", true),
            ("é", "e\u{301}", false), ("+/é", "x/e\u{301}", false),
        ])
    func examples(_ text: String, _ topic: String, _ isMatch: Bool) throws {
        #expect(try self.filter(text).matches(topic) == isMatch)
        #expect(NaiveTopics.matches(text, topic) == isMatch)
    }

    @Test(
        "refuse what the standard does not allow, and what is beyond the limits",
        arguments: [
            "", "a#", "a/#/b", "#/", "##", "a+", "+a/b", "a/b+/c", "a/++", "\u{0}", "a\nb", "\u{85}", "\u{FFFD}",
            String(repeating: "x", count: 257), String(repeating: "/", count: 32),
        ])
    func refused(_ text: String) {
        #expect(throws: WireError.self) { try self.filter(text) }
    }

    @Test("take the longest and the deepest that is allowed")
    func largest() throws {
        #expect(try self.filter(String(repeating: "x", count: 256)).isWildcard == false)
        #expect(try self.filter(String(repeating: "/", count: 30) + "/+").isWildcard)
    }

    @Test("have no wildcards in a topic's name", arguments: ["+", "#", "a/+", "a+b", "a#"])
    func names(_ name: String) {
        #expect(topicProblem(name, Limits(), wildcards: false) != nil)
    }

    @Test("match as a naive matcher does")
    func random() throws {
        var naive = NaiveTopics(seed: 1)
        var matches = 0
        for _ in 0..<20_000 {
            let (text, topic) = (naive.filter(), naive.topic())
            guard let filter = try? self.filter(text) else { continue }
            #expect(filter.matches(topic) == NaiveTopics.matches(text, topic), "\(text) \(topic)")
            if filter.matches(topic) { matches += 1 }
        }
        #expect(matches > 1_000)
    }

    /// Every topic of up to four levels of two names, one of them not in any filter: enough to tell filters of up to three levels apart.
    private static let universe: [String] = {
        let names = ["a", "b", "$s", "z"]
        var topics = names
        var last = names
        for _ in 0..<3 {
            last = last.flatMap { topic in names.map { topic + "/" + $0 } }
            topics += last
        }
        return topics
    }()

    @Test("cover another exactly when they match all that it matches")
    func covering() throws {
        var naive = NaiveTopics(seed: 2)
        var covered = 0
        for _ in 0..<3_000 {
            let texts = [naive.filter(), naive.filter()]
            let parts = texts.map { $0.split(separator: "/", omittingEmptySubsequences: false) }
            let isSmall = parts.allSatisfy { $0.count <= 3 && $0.allSatisfy { ["a", "b", "$s", "+", "#"].contains($0) } }
            guard isSmall, let one = try? self.filter(texts[0]), let other = try? self.filter(texts[1]) else { continue }
            let expected = Self.universe.allSatisfy { !NaiveTopics.matches(texts[1], $0) || NaiveTopics.matches(texts[0], $0) }
            #expect(one.covers(other) == expected, "\(texts[0]) over \(texts[1])")
            if expected { covered += 1 }
        }
        #expect(covered > 20)
        #expect(try self.filter("+/#").covers(try self.filter("#")))
        #expect(try !self.filter("a/+/#").covers(try self.filter("a/#")))
    }

    @Test("overlap exactly when there is a topic that both match")
    func overlapping() throws {
        var naive = NaiveTopics(seed: 3)
        var overlaps = 0
        for _ in 0..<3_000 {
            let texts = [naive.filter(), naive.filter()]
            let parts = texts.map { $0.split(separator: "/", omittingEmptySubsequences: false) }
            let isSmall = parts.allSatisfy { $0.count <= 3 && $0.allSatisfy { ["a", "b", "$s", "+", "#"].contains($0) } }
            guard isSmall, let one = try? self.filter(texts[0]), let other = try? self.filter(texts[1]) else { continue }
            let expected = Self.universe.contains { NaiveTopics.matches(texts[0], $0) && NaiveTopics.matches(texts[1], $0) }
            #expect(one.overlaps(other) == expected, "\(texts[0]) and \(texts[1])")
            #expect(other.overlaps(one) == expected, "\(texts[1]) and \(texts[0])")
            if expected { overlaps += 1 }
        }
        #expect(overlaps > 20)
    }
}

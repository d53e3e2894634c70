import MartletCore
import MartletWire
import Testing

/// Topics and where to begin, as URLs say them.
struct TopicTextTests {
    private func topics(_ text: String, limits: Limits = Limits()) throws(WireError) -> [String] {
        try TopicList.parse(text, limits: limits).map(\.text)
    }

    @Test func lists() throws {
        #expect(try self.topics("") == [])
        #expect(try self.topics("a") == ["a"])
        #expect(try self.topics("a,b/c,a") == ["a", "b/c"])
        #expect(try self.topics("a/+,#") == ["a/+", "#"])
        #expect(try self.topics("a%2Cb,c%2cd") == ["a,b", "c,d"])
        #expect(try self.topics("50%25,%252C,%2520") == ["50%", "%2C", "%20"])
        #expect(try self.topics("é,e\u{301}") == ["é", "e\u{301}"])
        for bad in [",", "a,,b", "a,", "a#", "a/#/b", "a\u{1}", String(repeating: "x", count: 257), "50%", "a%zz", "a%2", "%20"] {
            #expect { try self.topics(bad) } throws: { ($0 as? WireError)?.code == .badRequest }
        }
    }

    @Test func tooMany() throws {
        var limits = Limits()
        limits.topicsPerSession = 2
        #expect(try self.topics("a,b,a,b", limits: limits) == ["a", "b"])
        #expect { try self.topics("a,b,c", limits: limits) } throws: {
            ($0 as? WireError)?.code == .tooManyTopics && ($0 as? WireError)?.limit == 2
        }
    }

    @Test func starts() throws {
        #expect(try TopicStart(parsing: "latest") == .latest)
        #expect(try TopicStart(parsing: "earliest") == .earliest)
        #expect(try TopicStart(parsing: "last:10") == .last(10))
        #expect(try TopicStart(parsing: "last:0") == .last(0))
        #expect(try TopicStart(parsing: "0") == .time(0))
        #expect(try TopicStart(parsing: "1763690947123") == .time(1_763_690_947_123))
    }

    /// Checked against `date -u -d … +%s%3N`.
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2026-11-21T08:19:02Z", 1_795_249_142_000), ("2026-11-21t08:19:02.5z", 1_795_249_142_500),
        ("2026-11-21T08:19:02.123456789Z", 1_795_249_142_123), ("2024-02-29T23:59:60Z", 1_709_251_200_000),
        ("2000-02-29T12:00:00+02:00", 951_818_400_000), ("2000-03-01T00:30:00-01:30", 951_876_000_000),
        ("2026-11-21T08:19:02 01:00", 1_795_245_542_000),
    ])
    func times(_ text: String, _ milliseconds: Int64) throws {
        #expect(try TopicStart(parsing: text) == .time(milliseconds))
    }

    @Test(arguments: [
        "", "now", "last:", "last:-1", "last:1000001", "last:99999999999999999999", "-1", "1.5", "99999999999999999999",
        "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-21", "2026-11-21T08:19:02", "2026-11-21T24:00:00Z",
        "2026-11-21T08:19:02.Z", "2026-11-21T08:19:02+1:00", "2026-11-21T08:19:02Zx", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+01:00",
    ])
    func badStarts(_ text: String) {
        #expect { try TopicStart(parsing: text) } throws: { ($0 as? WireError)?.code == .badRequest }
    }
}

import MartletCore
import MartletWire
import Testing

/// Where messages wait, and what is kept of their publisher's wishes.
struct QueueTopicTests {
    private func filter(_ text: String) throws -> TopicFilter { try TopicFilter(parsing: text, limits: Limits()) }

    @Test(arguments: ["#", "+/#", "a/b", "a/+", "/", "$/#", "$SYS/#", "+", "+/+", "+/a/b", "$/+/a/b"])
    func noFilterOfAClientMatchesAQueue(text: String) throws {
        let filter = try self.filter(text)
        for topic in ["a/b", "a", "/", "", "a/b/c"] {
            #expect(!filter.matches(QueueTopic.name(of: topic)))
            #expect(!filter.overlaps(QueueTopic.filter(of: TopicFilter(topic: topic))))
        }
        #expect(!filter.covers(QueueTopic.all))
        #expect(!filter.overlaps(QueueTopic.all))
        #expect(!QueueTopic.isQueue(text))
    }

    @Test func noClientCanSayTheNameOfAQueue() {
        #expect(throws: WireError.self) { try self.filter(QueueTopic.name(of: "a")) }
        #expect(throws: WireError.self) { try self.filter(QueueTopic.name(of: "#")) }
    }

    @Test(arguments: [("a/+", "a/b", true), ("#", "a/b/c", true), ("a/b", "a/b", true), ("a/+", "b/b", false), ("/#", "a", false)])
    func aQueueMatchesAsItsFilterDoes(text: String, topic: String, matches: Bool) throws {
        let queue = QueueTopic.filter(of: try self.filter(text))
        #expect(queue.matches(QueueTopic.name(of: topic)) == matches)
        #expect(!queue.matches(topic))
        #expect(QueueTopic.all.matches(QueueTopic.name(of: topic)))
        #expect(!QueueTopic.all.matches(topic))
        #expect(QueueTopic.original(of: queue) == (try self.filter(text)))
        #expect(QueueTopic.original(of: queue).isWildcard == queue.isWildcard)
        #expect(QueueTopic.original(of: QueueTopic.name(of: topic)) == topic)
        #expect(QueueTopic.original(of: topic) == topic)
    }

    @Test func theServersOwnTopicsHaveNoQueue() throws {
        #expect(!QueueTopic.hasQueue(try self.filter("$SYS/#")))
        #expect(QueueTopic.hasQueue(try self.filter("a/$SYS")))
        #expect(QueueTopic.hasQueue(try self.filter("#")))
    }

    @Test func marksKeepTheirBits() {
        var marks = MessageMarks()
        // What is not published by MQTT.
        #expect(marks.rawValue == 0)
        #expect(marks.qos == 2)
        for qos in UInt8(0)...2 {
            marks.qos = qos
            #expect(marks.qos == qos)
            #expect(marks.rawValue == UInt64(2 - qos))
        }
        marks.qos = 9
        #expect(marks.qos == 2)
        marks.isRetained = true
        #expect(marks.rawValue == 1 << 2)
        marks.isMQTT = true
        marks.hasExpiry = true
        marks.origin = .max
        #expect(marks.rawValue == 0xff_ffff_ff1c)
        marks.origin = 0x0102_0304
        marks.isRetained = false
        marks.qos = 1
        #expect(marks.rawValue == 0x01_0203_0419)
        let read = MessageMarks(rawValue: marks.rawValue)
        #expect(read.origin == 0x0102_0304 && read.isMQTT && read.hasExpiry && !read.isRetained && read.qos == 1)
        // What a later version adds stays.
        #expect(MessageMarks(rawValue: 3).qos == 0)
        #expect(MessageMarks.origin(of: "") != 0)
        #expect(MessageMarks.origin(of: "a") != MessageMarks.origin(of: "b"))
    }
}

import MartletCore
import MartletHTTP
import MartletWire
import NIOCore
import Testing

struct SSEEncoderTests {
    private func text(_ write: (inout ByteBuffer) -> Void) -> String {
        var buffer = ByteBuffer()
        write(&buffer)
        return String(buffer: buffer)
    }

    @Test func messages() {
        let delivery = Samples.delivery(seq: 7)
        #expect(
            self.text { SSEEncoder(.events(seq: false)).message(delivery, into: &$0) }
                == "id: \(Samples.cursor)\ndata: {\(Samples.fragment)}\n\n")
        #expect(
            self.text {
                SSEEncoder(.events(seq: true)).message(Samples.delivery(seq: .max, redelivered: true), into: &$0)
            }
                == "id: \(Samples.cursor)\ndata: "
                + "{\"seq\":18446744073709551615,\"redelivered\":true,\(Samples.fragment)}\n\n"
        )
        #expect(
            self.text { SSEEncoder(.ramen).message(delivery, into: &$0) }
                == "id: 7\ndata: {\"seq\":7,\(Samples.fragment)}\n\n")
    }

    /// What a reader joins again is the same JSON, with LF for each kind of line break.
    @Test func lineBreaksInData() {
        let fragment = "\"data\":{\n\"a\":1,\r\"b\"\r\n:\n\r[]\n}"
        let text = self.text { SSEEncoder(.ramen).message(Samples.delivery(seq: 1, fragment: fragment), into: &$0) }
        #expect(
            text
                == "id: 1\ndata: {\"seq\":1,\"data\":{\n"
                + "data: \"a\":1,\ndata: \"b\"\ndata: :\ndata: \ndata: []\ndata: }}\n\n"
        )
        #expect(!text.utf8.contains(0x0d))
    }

    @Test func others() {
        let events = SSEEncoder(.events(seq: true))
        let ramen = SSEEncoder(.ramen, visibleHeartbeat: true)
        #expect(
            self.text { events.welcome(Samples.welcome, into: &$0) }
                == "retry: 900\nevent: welcome\nid: \(Samples.cursor)\ndata: {\(Samples.welcomeJSON)}\n\n")
        #expect(
            self.text { ramen.welcome(Samples.welcome, into: &$0) }
                == "retry: 900\nevent: welcome\ndata: {\(Samples.welcomeJSON)}\n\n")
        let gap = GapNotice(reason: .inboxFull, scope: .app, priority: .low, from: 3, to: 9)
        #expect(
            self.text { events.gap(gap, into: &$0) }
                == "event: gap\ndata: "
                + "{\"reason\":\"inbox_full\",\"scope\":\"app\",\"priority\":\"low\",\"from\":3,\"to\":9}\n\n"
        )
        #expect(self.text { events.heartbeat(into: &$0) } == ":\n\n")
        #expect(self.text { ramen.heartbeat(into: &$0) } == "event: hb\ndata: {}\n\n")
        #expect(
            self.text { events.drain(reconnectAfterMs: 1_500, into: &$0) }
                == "retry: 1500\nevent: drain\ndata: {\"reconnectAfterMs\":1500}\n\n")
        #expect(
            self.text { events.close(.takenOver, into: &$0) }
                == "event: close\ndata: {\"code\":4500,\"reason\":\"taken over\",\"reconnect\":false}\n\n")
        #expect(
            self.text { events.close(.goingAway, retryAfterMs: 7, into: &$0) }.hasPrefix(
                "retry: 7\nevent: close\ndata: {\"code\":1001,"))
    }

    @Test func jsonForPolls() {
        #expect(self.text { DeliveryJSON.message(Samples.delivery(seq: 1), [], into: &$0) } == "{\(Samples.fragment)}")
        #expect(
            self.text { DeliveryJSON.message(Samples.delivery(seq: 1, redelivered: true), .cursor, into: &$0) }
                == "{\"cursor\":\"\(Samples.cursor)\",\"redelivered\":true,\(Samples.fragment)}")
    }
}

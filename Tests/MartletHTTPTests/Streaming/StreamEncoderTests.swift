import MartletCore
import MartletHTTP
import MartletWire
import NIOCore
import Testing

struct StreamEncoderTests {
    private let page: IframePage

    init() throws {
        self.page = IframePage(try CallbackName(parsing: "app.push"), nonce: "N0nce")
    }

    private func text(_ write: (inout ByteBuffer) -> Void) -> String {
        var buffer = ByteBuffer()
        write(&buffer)
        return String(buffer: buffer)
    }

    @Test func lines() {
        let encoder = StreamEncoder(.ndjson, seq: true)
        #expect(
            self.text { encoder.welcome(Samples.welcome, into: &$0) }
                == "{\"welcome\":{\(Samples.welcomeJSON),\"cursor\":\"\(Samples.cursor)\"}}\n")
        #expect(
            self.text { encoder.message(Samples.delivery(seq: 7, redelivered: true), into: &$0) }
                == "{\"message\":{\"seq\":7,\"cursor\":\"\(Samples.cursor)\",\"redelivered\":true,\(Samples.fragment)}}\n")
        #expect(
            self.text { StreamEncoder(.ndjson).message(Samples.delivery(seq: 7), into: &$0) }
                == "{\"message\":{\"cursor\":\"\(Samples.cursor)\",\(Samples.fragment)}}\n")
        #expect(self.text { encoder.heartbeat(into: &$0) } == "\n")
        #expect(self.text { StreamEncoder(.ndjson, visibleHeartbeat: true).heartbeat(into: &$0) } == "{}\n")
        #expect(self.text { encoder.drain(reconnectAfterMs: 15, into: &$0) } == "{\"drain\":{\"reconnectAfterMs\":15}}\n")
        #expect(
            self.text { encoder.close(.tokenExpired, retryAfterMs: 7, into: &$0) }
                == "{\"close\":{\"code\":4002,\"reason\":\"token expired\",\"reconnect\":true,\"reconnectAfterMs\":7}}\n")
        let gap = TopicGap(topic: "a", reason: .trimmed, from: 3, to: 9)
        #expect(
            self.text { encoder.gap(gap, cursor: Samples.cursor, into: &$0) }
                == "{\"gap\":{\"reason\":\"trimmed\",\"topic\":\"a\",\"from\":3,\"to\":9,\"cursor\":\"\(Samples.cursor)\"}}\n")
    }

    /// A message is one line, whatever line breaks stand between its tokens.
    @Test func lineBreaksInData() {
        let fragment = "\"data\":{\n\"a\":1,\r\"b\\n\"\r\n:[]\n}"
        for format in [StreamEncoder.Format.ndjson, .multipart, .iframe(self.page)] {
            let text = self.text { StreamEncoder(format).message(Samples.delivery(seq: 1, fragment: fragment), into: &$0) }
            #expect(text.contains("{ ") && !text.contains("1,\r") && !text.contains("\n}") && text.utf8.last == 0x0a)
        }
        let line = self.text { StreamEncoder(.ndjson).message(Samples.delivery(seq: 1, fragment: fragment), into: &$0) }
        #expect(line.hasSuffix("\"data\":{ \"a\":1, \"b\\n\"  :[] }}}\n") && line.utf8.filter { $0 == 0x0a }.count == 1)
    }

    @Test func parts() {
        let encoder = StreamEncoder(.multipart)
        let json = "{\"message\":{\(Samples.fragment)}}"
        #expect(
            self.text { encoder.message(Samples.delivery(seq: 7), into: &$0) }
                == "content-type: application/json\r\ncontent-length: \(json.utf8.count)\r\nmartlet-cursor: \(Samples.cursor)\r\n\r\n"
                + "\(json)\r\n--martlet\r\n")
        #expect(self.text { encoder.welcome(Samples.welcome, into: &$0) }.hasPrefix("--martlet\r\ncontent-type: application/json\r\n"))
        let heartbeat = "content-type: application/json\r\ncontent-length: 2\r\n\r\n{}\r\n--martlet\r\n"
        #expect(self.text { encoder.heartbeat(into: &$0) } == heartbeat)
        #expect(
            self.text { encoder.drain(reconnectAfterMs: 15, into: &$0) }.hasSuffix(
                "\r\n\r\n{\"drain\":{\"reconnectAfterMs\":15}}\r\n--martlet--\r\n"))
    }

    @Test func scripts() {
        let encoder = StreamEncoder(.iframe(self.page))
        let fragment = #""data":"</script><!-- ]]> \"\\ "# + "\u{2028}\""
        #expect(
            self.text { encoder.message(Samples.delivery(seq: 7, fragment: fragment), into: &$0) }
                == "<script nonce=\"N0nce\">m(\"{\\\"message\\\":{\\\"cursor\\\":\\\"\(Samples.cursor)\\\","
                + #"\"data\":\"\u003c/script\u003e\u003c!-- ]]\u003e \\\"\\\\ \u2028\"}}")</script>"# + "\n")
        let welcome = self.text { encoder.welcome(Samples.welcome, into: &$0) }
        #expect(welcome.hasPrefix("<!doctype html><html>") && welcome.contains("if(parent!==window)parent.app.push(parent.JSON.parse(t))"))
        #expect(welcome.utf8.count > 2_048)
        #expect(self.text { encoder.close(.takenOver, retryAfterMs: nil, into: &$0) }.hasSuffix(")</script>\n</body></html>\n"))
        #expect(self.page.headers.contains { $0.0 == "content-security-policy" && $0.1.contains("script-src 'nonce-N0nce';") })
        let nonces = Set((0..<100).map { _ in IframePage.makeNonce() })
        #expect(nonces.count == 100 && nonces.allSatisfy { $0.utf8.count == 22 })
    }
}

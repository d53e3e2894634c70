import MartletHTTP
import NIOCore
import Testing

struct ScriptAnswerTests {
    @Test func isOneCall() throws {
        let answer = ScriptAnswer(try CallbackName(parsing: "jQuery.cb_1"))
        #expect(
            String(buffer: answer.body(ByteBuffer(string: #"{"a":"</script>"}"#)))
                == #"/**/jQuery.cb_1(JSON.parse("{\"a\":\"\u003c/script\u003e\"}"));"# + "\n")
    }
}

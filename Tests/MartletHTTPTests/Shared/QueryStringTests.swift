import MartletHTTP
import Testing

@Suite struct QueryStringTests {
    @Test func namesAndValuesAreDecoded() {
        let query = QueryString("user=al%20ice&device=a%2B1&flag&x=1+2&user=bob")
        #expect(query["user"] == "al ice")
        #expect(query["device"] == "a+1")
        #expect(query["flag"] == "")
        #expect(query["x"] == "1 2")
        #expect(query["none"] == nil)
    }

    @Test func brokenEscapesStandForThemselves() {
        #expect(QueryString("a=%")["a"] == "%")
        #expect(QueryString("a=%4")["a"] == "%4")
        #expect(QueryString("a=%zz")["a"] == "%zz")
        #expect(QueryString("a=%ff")["a"] == "\u{fffd}")
        #expect(QueryString("a=%00b")["a"] == "\0b")
    }

    @Test func parametersAreLimited() {
        let text = (0..<1_000).map { "p\($0)=1" }.joined(separator: "&")
        #expect(QueryString(Substring(text)).items.count == QueryString.limit)
    }

    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
    ])
    func datesAreFormatted(second: Int64, text: String) {
        // The second is RFC 9110's own example.
        #expect(HTTPDate.format(second) == text)
    }
}

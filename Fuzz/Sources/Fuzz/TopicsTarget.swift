import MartletCore
import MartletWire

/// The value of `topics=`: what is understood means the same when it is written again. And that of `since=`.
enum TopicsTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        let text = String(decoding: bytes, as: UTF8.self)
        let limits = Limits()
        do throws(WireError) {
            let filters = try TopicList.parse(text, limits: limits)
            check(Set(filters).count == filters.count && filters.count <= limits.topicsPerSession, "one twice, or too many")
            for filter in filters { check(topicProblem(filter.text, limits, wildcards: true) == nil, "a filter that is none") }
            let again = filters.map { $0.text.unicodeScalars.reduce(into: "") { $0 += $1 == "%" ? "%25" : $1 == "," ? "%2C" : String($1) } }
            check((try? TopicList.parse(again.joined(separator: ","), limits: limits)) == filters, "written again they differ")
        } catch {
            check([.badRequest, .tooManyTopics].contains(error.code), "refused as \(error.code)")
            checkAnswer(error)
        }
        do throws(WireError) {
            let start = try TopicStart(parsing: text)
            if case .time(let milliseconds) = start { check(milliseconds >= 0, "a time before 1970") }
            check(start != .after(0), "an offset from a stranger")
        } catch {
            check(error.code == .badRequest, "refused as \(error.code)")
            checkAnswer(error)
        }
    }
}

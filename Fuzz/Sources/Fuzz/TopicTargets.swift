import MartletCore
import MartletHTTP
import MartletWire

/// Lines are filters, the last one a topic: each matches as the standard says, who covers another matches what that matches, and the
/// trie finds just those that match.
enum FilterTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).prefix(8)
            .map { String(decoding: $0, as: UTF8.self) }
        guard let topic = lines.last, topicProblem(topic, Limits(), wildcards: false) == nil else { return }
        var filters: [TopicFilter] = []
        for line in lines {
            do throws(WireError) {
                filters.append(try TopicFilter(parsing: line, limits: Limits()))
            } catch {
                check(error.code == .badRequest, "refused as \(error.code)")
                checkAnswer(error)
            }
        }
        var trie = FilterTrie<TopicFilter>()
        for filter in filters {
            check(filter.matches(topic) == Self.matches(Self.levels(filter.text), Self.levels(topic)), "\(filter.text) and \(topic)")
            for other in filters where filter.covers(other) && other.matches(topic) {
                check(filter.matches(topic), "\(filter.text) covers \(other.text) but not \(topic)")
            }
            for other in filters {
                check(filter.overlaps(other) == other.overlaps(filter), "\(filter.text) overlaps \(other.text), or not")
                check(
                    !filter.matches(topic) || !other.matches(topic) || filter.overlaps(other), "\(filter.text) and \(other.text) both match \(topic)")
            }
            trie.insert(filter, for: filter)
        }
        var found: Set<TopicFilter> = []
        trie.visit(topic) { check(found.insert($0).inserted, "\($0.text) was found twice") }
        check(found == Set(filters.filter { $0.matches(topic) }), "the trie found others for \(topic)")
        for filter in filters { trie.remove(filter) }
        check(trie.isEmpty, "something is left")
    }

    private static func levels(_ text: String) -> ArraySlice<[UInt8]> {
        text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map(Array.init)[...]
    }

    private static func matches(_ filter: ArraySlice<[UInt8]>, _ topic: ArraySlice<[UInt8]>, isFirst: Bool = true) -> Bool {
        guard let first = filter.first else { return topic.isEmpty }
        let isWildcard = first == [UInt8(ascii: "#")] || first == [UInt8(ascii: "+")]
        if isFirst, isWildcard, topic.first?.first == UInt8(ascii: "$") { return false }
        if first == [UInt8(ascii: "#")] { return true }
        guard let level = topic.first, isWildcard || first == level else { return false }
        return Self.matches(filter.dropFirst(), topic.dropFirst(), isFirst: false)
    }
}

/// What is set for a namespace reads the same when it is written again, and is within its ranges.
enum NamespaceTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        do throws(WireError) {
            let change = try TopicOptionsJSON.change(bytes)
            check(TopicOptions.historyMessagesRange.contains(change.historyMessages ?? 0), "so many messages")
            check(TopicOptions.historySecondsRange.contains(change.historySeconds ?? 1), "such an age")
            var written: [UInt8] = []
            TopicOptionsJSON.append(change, to: &written)
            check((try? written.withUnsafeBytes { try TopicOptionsJSON.change($0) }) == change, "it reads otherwise when written again")
        } catch {
            check(error.code == .badRequest || error.code == .invalidJSON, "refused as \(error.code)")
            checkAnswer(error)
        }
    }
}

import MartletCore
import MartletWire
import Testing

@Suite("The filter trie")
struct FilterTrieTests {
    private func filter(_ text: String) throws -> TopicFilter { try TopicFilter(parsing: text, limits: Limits()) }

    private func found(_ trie: FilterTrie<String>, _ topic: String) -> [String] {
        var found: [String] = []
        trie.visit(topic) { found.append($0) }
        return found.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    @Test("finds what a naive matcher finds, while filters come and go", arguments: [UInt64(1), 2, 3, 4])
    func againstNaive(_ seed: UInt64) throws {
        var naive = NaiveTopics(seed: seed)
        var trie = FilterTrie<String>()
        // By bytes: as keys, texts that Unicode calls equal are one.
        var texts: [[UInt8]: String] = [:]
        var visited = 0
        for step in 0..<20_000 {
            let text = naive.filter()
            guard let filter = try? self.filter(text) else { continue }
            // Grows to many, shrinks to few, again and again.
            let isGrowing = step / 2_500 % 2 == 0
            if Int.random(in: 0..<10, using: &naive.dice) < (isGrowing ? 7 : 2) {
                #expect((trie.insert(text, for: filter) == nil) == (texts[Array(text.utf8)] == nil))
                texts[Array(text.utf8)] = text
            } else {
                #expect((trie.remove(filter) == nil) == (texts.removeValue(forKey: Array(text.utf8)) == nil))
            }
            #expect(trie.count == texts.count)
            guard step.isMultiple(of: 10) else { continue }
            let topic = naive.topic()
            let expected = texts.values.filter { NaiveTopics.matches($0, topic) }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            #expect(self.found(trie, topic).map { Array($0.utf8) } == expected.map { Array($0.utf8) }, "\(topic)")
            visited += expected.count
        }
        #expect(visited > 1_000)
        for text in texts.values { trie.remove(try self.filter(text)) }
        #expect(trie.isEmpty)
        #expect(trie.wild.capacity == 0 && trie.tree.capacity == 0)
    }

    @Test("changes a value in place, and removes it with nil")
    func update() throws {
        for text in ["a/b", "a/+", "#"] {
            var trie = FilterTrie<Int>()
            let filter = try self.filter(text)
            for _ in 0..<3 { trie.update(filter) { $0 = ($0 ?? 0) + 1 } }
            #expect(trie[filter] == 3 && trie.count == 1)
            trie.update(filter) { $0 = nil }
            #expect(trie[filter] == nil && trie.isEmpty)
            trie.update(filter) { $0 = nil }
            #expect(trie.isEmpty)
        }
    }

    @Test("does not take a part of a filter for the filter")
    func parts() throws {
        var trie = FilterTrie<String>()
        trie.insert("deep", for: try self.filter("a/+/c/#"))
        #expect(trie[try self.filter("a/+")] == nil)
        #expect(trie.remove(try self.filter("a/+/c")) == nil)
        #expect(self.found(trie, "a/x/c") == ["deep"] && self.found(trie, "a/x") == [])
        trie.insert("short", for: try self.filter("a/+"))
        trie.remove(try self.filter("a/+/c/#"))
        #expect(self.found(trie, "a/x") == ["short"] && trie.count == 1)
    }

    @Test("gives memory back when most is gone, and still finds the rest")
    func memory() throws {
        var trie = FilterTrie<String>()
        for number in 0..<10_000 {
            trie.insert("w\(number)", for: try self.filter("room/\(number)/+"))
            trie.insert("e\(number)", for: try self.filter("room/\(number)/x"))
        }
        #expect(self.found(trie, "room/77/x") == ["e77", "w77"])
        for number in 0..<10_000 where number != 77 {
            trie.remove(try self.filter("room/\(number)/+"))
            trie.remove(try self.filter("room/\(number)/x"))
        }
        #expect(self.found(trie, "room/77/x") == ["e77", "w77"] && trie.count == 2)
        #expect(trie.tree.capacity <= 64 && trie.wild.count <= 64 && trie.exact.capacity <= 64)
    }

    @Test("is a value: a copy stays as it was")
    func copies() throws {
        var trie = FilterTrie<String>()
        trie.insert("one", for: try self.filter("a/+"))
        let copy = trie
        trie.insert("two", for: try self.filter("+/b"))
        trie.remove(try self.filter("a/+"))
        #expect(self.found(copy, "a/b") == ["one"] && self.found(trie, "a/b") == ["two"])
    }
}

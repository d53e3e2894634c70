import MartletCore
import MartletTestSupport
import Testing

@Suite struct NameIndexTests {
    private func all(_ index: NameIndex, from place: NameIndex.Place) -> [String] {
        var names: [String] = []
        var place = place
        while let name = index[place] {
            names.append(name)
            place = index.next(place)
        }
        return names
    }

    @Test func none() {
        var index = NameIndex()
        index.remove("a")
        #expect(index.isEmpty)
        #expect(index[index.place(from: "")] == nil)
        #expect(index[index.place(after: "a")] == nil)
    }

    /// Names come and go in any order, in order, and backwards; those that are there are found, in the order of their bytes.
    @Test(arguments: 0..<12)
    func namesComeAndGo(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var index = NameIndex()
        var expected: Set<[UInt8]> = []
        let stems = ["", "a/", "a/\u{e9}", "a/e\u{301}", "z"]
        for step in 0..<6_000 {
            let number = seed % 3 == 0 ? Int.random(in: 0..<2_000, using: &random) : seed % 3 == 1 ? step : 6_000 - step
            let name = (stems.randomElement(using: &random) ?? "") + String(number)
            // First more of them, then fewer.
            if Int.random(in: 0..<6_000, using: &random) > step {
                if expected.insert(Array(name.utf8)).inserted { index.insert(name) }
            } else if let gone = expected.randomElement(using: &random) {
                expected.remove(gone)
                index.remove(String(decoding: gone, as: UTF8.self))
            } else {
                index.remove(name)
            }
            #expect(index.count == expected.count)
            guard step % 500 == 499 else { continue }
            let sorted = expected.sorted { $0.lexicographicallyPrecedes($1) }
            #expect(self.all(index, from: index.place(from: "")).map { Array($0.utf8) } == sorted)
            for _ in 0..<20 {
                let other = (stems.randomElement(using: &random) ?? "") + String(Int.random(in: 0..<7_000, using: &random))
                let later = sorted.drop { $0.lexicographicallyPrecedes(other.utf8) }
                #expect(self.all(index, from: index.place(from: other)).map { Array($0.utf8) } == Array(later))
                #expect(self.all(index, from: index.place(after: other)).map { Array($0.utf8) } == Array(later.drop { $0.elementsEqual(other.utf8) }))
            }
        }
        for name in expected { index.remove(String(decoding: name, as: UTF8.self)) }
        #expect(index.isEmpty && index[index.place(from: "")] == nil)
    }
}

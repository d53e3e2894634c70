import MartletCore
import MartletNode
import MartletTestSupport
import Testing

/// What the search says beside what is so, with sessions that come further while it goes on.
@Suite struct NeedlessSearchTests {
    /// Sessions and how far each has come in each topic that it reads.
    private struct Model {
        var positions: [DeviceKey: [TopicKey: UInt64]] = [:]
        var newest: [TopicKey: UInt64] = [:]
        var found: [TopicKey: UInt64] = [:]
        var asked = 0

        func readers(of topic: TopicKey) -> [DeviceKey] { self.positions.filter { $0.value[topic] != nil }.map(\.key) }

        /// Up to where nobody needs what waits.
        func needless(_ topic: TopicKey) -> UInt64 {
            min(self.positions.values.compactMap { $0[topic] }.min() ?? .max, self.newest[topic] ?? 0)
        }
    }

    private func topic(_ number: Int) -> TopicKey { TopicKey(app: .dev, name: "t/\(number)") }

    /// - Returns: whether there is more to look at.
    private func part(_ search: inout NeedlessSearch, _ model: inout Model) -> Bool {
        var found: [(TopicKey, UInt64)] = []
        var asked = 0
        let before = model
        let isMore = search.part(
            &asked, readers: { before.readers(of: $0) }, needless: { before.positions[$0]?[$1] }, found: { found.append(($0, $1)) })
        model.asked += asked
        for (topic, end) in found {
            #expect(end <= model.needless(topic), "somebody needs it")
            // Again, perhaps, if nothing waited in between.
            #expect(end >= model.found[topic] ?? 0, "it goes back")
            model.found[topic] = end
        }
        return isMore
    }

    @Test(arguments: 0..<30)
    func whatIsFoundIsNeedlessAndNothingIsForgotten(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var search = NeedlessSearch()
        var model = Model()
        // With many, the search goes on over several parts, between which sessions move.
        let many = seed % 3 == 0 ? 3_000 : 20
        let topics = (0..<Int.random(in: 1...6, using: &random)).map { self.topic($0) }
        for number in 0..<many {
            var own: [TopicKey: UInt64] = [:]
            for topic in topics where Int.random(in: 0..<10, using: &random) < 8 { own[topic] = 0 }
            model.positions[DeviceKey(app: .dev, name: "d\(number)")] = own
        }
        let devices = Array(model.positions.keys)
        var offset: UInt64 = 0
        for _ in 0..<60 {
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                offset += 1
                guard let topic = topics.randomElement(using: &random) else { continue }
                model.newest[topic] = offset
                search.queued(topic, offset: offset)
            }
            let isAll = Int.random(in: 0..<4, using: &random) == 0
            for device in devices where isAll || Int.random(in: 0..<3, using: &random) == 0 {
                for (topic, position) in model.positions[device] ?? [:] {
                    model.positions[device]?[topic] = isAll ? offset : UInt64.random(in: position...offset, using: &random)
                }
                search.isMoved = true
            }
            if Int.random(in: 0..<8, using: &random) == 0, let gone = devices.randomElement(using: &random) {
                model.positions[gone] = nil
                search.isMoved = true
            }
            search.begin()
            // Sometimes not to the end.
            for _ in 0..<Int.random(in: 0...4, using: &random) where !self.part(&search, &model) { break }
        }
        for _ in 0..<2 {
            search.isMoved = true
            search.begin()
            while self.part(&search, &model) {}
        }
        for topic in topics { #expect(model.found[topic] ?? 0 == model.needless(topic), "\(topic.name)") }
    }

    /// As long as the one who needs most has not moved, nobody else is asked.
    @Test func whoNeedsMostIsAskedFirst() {
        var search = NeedlessSearch()
        var model = Model()
        let topic = self.topic(0)
        for number in 0..<1_000 { model.positions[DeviceKey(app: .dev, name: "d\(number)")] = [topic: 100] }
        model.positions[DeviceKey(app: .dev, name: "slow")] = [topic: 1]
        model.newest[topic] = 100
        search.queued(topic, offset: 100)
        search.begin()
        while self.part(&search, &model) {}
        #expect(model.found[topic] == 1)
        let asked = model.asked
        for _ in 0..<50 {
            search.isMoved = true
            search.begin()
            while self.part(&search, &model) {}
        }
        #expect(model.asked - asked == 50)
        model.positions[DeviceKey(app: .dev, name: "slow")] = [topic: 100]
        search.isMoved = true
        search.begin()
        while self.part(&search, &model) {}
        #expect(model.found[topic] == 100)
    }

    /// However many there are, each part is small.
    @Test func aPartIsBounded() {
        var search = NeedlessSearch()
        var model = Model()
        let topic = self.topic(0)
        for number in 0..<9_000 { model.positions[DeviceKey(app: .dev, name: "d\(number)")] = [topic: 5] }
        model.newest[topic] = 5
        search.queued(topic, offset: 5)
        search.begin()
        var parts = 0
        var isMore = true
        while isMore {
            let before = model.asked
            isMore = self.part(&search, &model)
            #expect(model.asked - before <= NeedlessSearch.partMost + 1)
            parts += 1
        }
        #expect(parts >= 5)
        #expect(model.found[topic] == 5)
    }
}

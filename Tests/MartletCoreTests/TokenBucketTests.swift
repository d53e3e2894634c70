import MartletCore
import Testing

@Suite("Token buckets")
struct TokenBucketTests {
    static let second: Int64 = 1_000_000_000

    @Test("allow the burst, then the rate")
    func burstThenRate() throws {
        let rate = try #require(TokenBucket.Rate(perSecond: 10, burst: 5))
        var bucket = TokenBucket()
        for _ in 0..<5 { #expect(bucket.take(1, rate, at: 0) == nil) }
        #expect(bucket.take(1, rate, at: 0) == Self.second / 10)
        #expect(bucket.take(1, rate, at: Self.second / 10 - 1) == 1)
        #expect(bucket.take(1, rate, at: Self.second / 10) == nil)
        #expect(bucket.take(1, rate, at: Self.second / 10) == Self.second / 10)
    }

    @Test("say exactly when: not before, and then at once", arguments: [1, 3, 7, 100])
    func exactly(_ count: Int) throws {
        let rate = try #require(TokenBucket.Rate(perSecond: 3, burst: 7))
        var bucket = TokenBucket()
        #expect(bucket.take(7, rate, at: 50) == nil)
        let refused = bucket.take(count, rate, at: 50)
        let wait = try #require(refused)
        #expect(bucket.take(count, rate, at: 50 + wait - 1) == 1)
        #expect(bucket.take(count, rate, at: 50 + wait) == nil)
    }

    @Test("take more than the burst when full, and make up for it afterwards")
    func debt() throws {
        let rate = try #require(TokenBucket.Rate(perSecond: 100, burst: 10))
        var bucket = TokenBucket()
        #expect(bucket.take(1_000, rate, at: 0) == nil)
        #expect(bucket.take(1, rate, at: 0) == Self.second / 100 * 991)
        #expect(bucket.take(1_000, rate, at: 0) == Self.second * 10)
    }

    @Test("are full again after a pause, and no fuller")
    func refill() throws {
        let rate = try #require(TokenBucket.Rate(perSecond: 10, burst: 5))
        var bucket = TokenBucket()
        #expect(bucket.isFull(at: 0))
        #expect(bucket.take(5, rate, at: 0) == nil)
        #expect(!bucket.isFull(at: Self.second / 2 - 1))
        #expect(bucket.isFull(at: Self.second / 2))
        #expect(bucket.take(5, rate, at: Self.second * 1_000) == nil)
        #expect(bucket.take(1, rate, at: Self.second * 1_000) != nil)
    }

    @Test("never let through more than the rate and one burst")
    func neverMore() throws {
        let rate = try #require(TokenBucket.Rate(perSecond: 50, burst: 20))
        var bucket = TokenBucket()
        var now: Int64 = 0
        var taken = 0
        for _ in 0..<20_000 {
            now += Int64.random(in: 0..<10_000_000)
            let count = Int.random(in: 1...20)
            if bucket.take(count, rate, at: now) == nil { taken += count }
        }
        #expect(Double(taken) <= Double(now) / 1e9 * 50 + 20 + 1)
        #expect(Double(taken) >= Double(now) / 1e9 * 50 - 20)
    }

    @Test("take what was given back")
    func giveBack() throws {
        let rate = try #require(TokenBucket.Rate(perSecond: 1, burst: 2))
        var bucket = TokenBucket()
        #expect(bucket.take(2, rate, at: 0) == nil)
        bucket.giveBack(1, rate)
        #expect(bucket.take(1, rate, at: 0) == nil)
        #expect(bucket.take(1, rate, at: 0) != nil)
    }

    @Test("bear any numbers", arguments: [Int.min, -1, 0, 1, .max], [Int.min, -1, 0, 1, .max])
    func anyNumbers(_ perSecond: Int, _ burst: Int) {
        guard let rate = TokenBucket.Rate(perSecond: perSecond, burst: burst) else { return }
        var bucket = TokenBucket()
        for count in [Int.min, 0, 1, 1_000_000_000, .max] { _ = bucket.take(count, rate, at: 0) }
        bucket.giveBack(.max, rate)
        _ = bucket.take(1, rate, at: 1)
    }
}

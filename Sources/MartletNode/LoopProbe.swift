import NIOCore

extension Node {
    private static let probeInterval = TimeAmount.milliseconds(500)

    /// From now on measures on each event loop how late timers run, twice a second.
    package func startProbes() {
        for shard in self.shards { self.probe(shard, due: .now() + Self.probeInterval) }
        self.trimTopics()
    }

    /// Once a second, what is too old leaves the memory log.
    private func trimTopics() {
        self.shards.first?.loop.scheduleTask(in: .seconds(1)) {
            let held = self.hub.trim(now: self.clock.now())
            self.metrics.topics(bytes: held.bytes, evictions: held.evictions)
            self.trimTopics()
        }
    }

    private func probe(_ shard: Shard, due: NIODeadline) {
        shard.loop.scheduleTask(deadline: due) { [metrics] in
            let now = NIODeadline.now()
            metrics.loopWasLate(now - due)
            self.probe(shard, due: now + Self.probeInterval)
        }
    }
}

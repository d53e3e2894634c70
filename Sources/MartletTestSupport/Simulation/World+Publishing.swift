import MartletCore
import MartletWire

extension World {
    /// A publisher sends one message, or a few at once.
    func publish() {
        let count = self.random.chance(20) ? 1 + self.random.below(4) : 1
        let batch = (0..<count).map { _ in self.newPublication(idempotencyKey: nil) }
        for publication in batch { self.oracle.submitted(publication, isFirst: true) }
        self.submit(batch)
    }

    /// A publisher that got no answer, or is careless, sends the same again.
    func publishAgain() {
        let known = self.oracle.publications.filter { $0.idempotencyKey != nil }
        guard let publication = self.random.pick(known) else { return }
        if self.random.chance(25) {
            let other = self.newPublication(idempotencyKey: publication.idempotencyKey)
            self.oracle.submitted(other, isFirst: true)
            self.submit([other])
        } else {
            self.oracle.submitted(publication, isFirst: false)
            self.submit([publication])
        }
    }

    private func newPublication(idempotencyKey: String?) -> Publication {
        let number = self.oracle.publications.count + self.pendingNumbers
        self.pendingNumbers += 1
        let key = idempotencyKey ?? (self.random.chance(25) ? "i\(number)" : nil)
        let ttl = [0, 1, 3, 60, 1_800, 1_800, 1_800, 1_800, 1_800, 1_800][self.random.below(10)]
        return Publication(
            number: number, targets: self.targets(), priority: Priority.allCases[self.random.below(3)], ttl: ttl,
            collapseKey: self.random.chance(30) ? "k\(self.random.below(3))" : nil, idempotencyKey: key,
            padding: self.random.chance(6) ? 200 + self.random.below(1_200) : self.random.below(60),
            tick: self.oracle.nextTick(), now: self.clock.now)
    }

    private func targets() -> [InboxKey] {
        switch self.random.below(10) {
        case 0: [.everyone(in: .dev)]
        case 1: [.user("alice", in: .dev), .user("bob", in: .dev)]
        case 2, 3: [.device("d\(self.random.below(max(1, self.clients.count)))", in: .dev)]
        case 4, 5: [.user("bob", in: .dev)]
        default: [.user("alice", in: .dev)]
        }
    }

    private func submit(_ batch: [Publication]) {
        self.pendingNumbers = 0
        for publication in batch {
            self.note(
                "publish \(publication.number) to \(publication.targets.map { "\($0.scope) \($0.name)" }.joined(separator: ", ")), "
                    + "\(publication.priority), ttl \(publication.ttl), collapse \(publication.collapseKey ?? "-"), "
                    + "idempotency \(publication.idempotencyKey ?? "-"), \(publication.padding) bytes")
        }
        let box = Unshared((self, batch))
        self.seam.append(batch.map(\.request)) { outcomes in
            let (world, batch) = box.value
            for (publication, outcome) in zip(batch, outcomes) {
                world.note("answer to \(publication.number): \(outcome)")
                world.oracle.answered(publication, outcome, now: world.clock.now)
            }
        }
    }

    func recall() {
        guard let publication = self.random.pick(self.oracle.publications), let id = publication.id else { return }
        publication.wasRecallAsked = true
        self.note("recall \(publication.number)")
        let box = Unshared((self, publication))
        self.seam.recall(id, app: .dev) { result in
            let (world, publication) = box.value
            guard case .success(.recalled?) = result else { return }
            world.note("recalled \(publication.number)")
            publication.recalledTick = world.oracle.nextTick()
        }
    }
}

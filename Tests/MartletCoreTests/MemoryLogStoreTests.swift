import MartletCore
import MartletTestSupport
import Synchronization
import Testing

/// The store of the simulation keeps the same promises as the real one.
@Suite struct MemoryLogStoreTests {
    @Test(arguments: LogStoreContract.cases) func contract(_ test: LogStoreContract.Case) async throws {
        try await test.run(
            on: .init(
                open: { limits, clock in
                    MemoryLogStore(disk: MemoryDisk(), limits: limits, now: { clock.now }, wall: { clock.wall })
                },
                reopen: { stopped, limits, clock in
                    guard let stopped = stopped as? MemoryLogStore else { return stopped }
                    return stopped.reopened(limits: limits, now: { clock.now }, wall: { clock.wall })
                }))
    }

    private func publish(_ store: MemoryLogStore, answers: Answers) {
        store.append([AppendRequest(app: .dev, targets: [.user("alice", in: .dev)], members: [])]) { outcomes in
            answers.count.withLock { $0 += outcomes.count }
        }
    }

    private final class Answers: Sendable {
        let count = Mutex(0)
    }

    @Test func inStepsNothingIsAnsweredBeforeItIsCommittedAndDelivered() {
        let store = MemoryLogStore(disk: MemoryDisk(), clock: ManualClock(), steps: true)
        let answers = Answers()
        self.publish(store, answers: answers)
        store.deliver()
        #expect(answers.count.withLock { $0 } == 0)
        store.commit(1)
        #expect(answers.count.withLock { $0 } == 0)
        while store.deliver() {}
        #expect(answers.count.withLock { $0 } == 1)
    }

    @Test func aCrashKeepsWhatWasCommittedAndNothingElse() {
        let disk = MemoryDisk()
        let store = MemoryLogStore(disk: disk, clock: ManualClock(), steps: true)
        let answers = Answers()
        for _ in 0..<5 { self.publish(store, answers: answers) }
        store.commit(2)
        store.crash(committing: 1)
        while store.deliver() {}
        #expect(answers.count.withLock { $0 } == 0)
        #expect(MemoryLogStore(disk: disk, clock: ManualClock()).end == 3)
    }
}

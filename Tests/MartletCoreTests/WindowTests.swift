import MartletCore
import Testing

@Suite struct WindowTests {
    @Test func lowTakesHalfAndLowWithMediumThreeQuarters() {
        var window = Window(messages: 8, bytes: 8_000)
        for _ in 0..<4 { window.started(.low, bytes: 10) }
        #expect(window.room(for: .low) == 0)
        #expect(window.room(for: .medium) == 2)
        window.started(.medium, bytes: 10)
        window.started(.medium, bytes: 10)
        #expect(window.room(for: .medium) == 0)
        #expect(window.room(for: .high) == 2)
    }

    @Test func sharesAreInBytesToo() {
        var window = Window(messages: 100, bytes: 1_000)
        window.started(.low, bytes: 500)
        #expect(!window.admits(.low, bytes: 1))
        #expect(window.admits(.medium, bytes: 250))
        #expect(!window.admits(.medium, bytes: 251))
        #expect(window.admits(.high, bytes: 500))
    }

    @Test(arguments: Priority.allCases) func aWindowOfOneAdmitsEachPriority(_ priority: Priority) {
        var window = Window(messages: 1, bytes: 100)
        #expect(window.room(for: priority) == 1)
        window.started(priority, bytes: 10)
        #expect(!window.isOpen(for: .high))
        window.finished(priority, bytes: 10)
        #expect(window.isEmpty)
    }

    @Test func anOversizeMessageGoesAlone() {
        var window = Window(messages: 4, bytes: 100)
        #expect(window.admits(.low, bytes: 5_000))
        window.started(.low, bytes: 5_000)
        #expect(!window.isOpen(for: .high))
        window.finished(.low, bytes: 5_000)
        window.started(.high, bytes: 1)
        #expect(!window.admits(.high, bytes: 100))
    }

    @Test func hostileSizesAreTakenIntoRange() {
        let window = Window(messages: -5, bytes: .max)
        #expect(window.messages == 1)
        #expect(window.bytes == 1 << 30)
    }

    @Test func clearEmptiesIt() {
        var window = Window(messages: 4, bytes: 100)
        window.started(.high, bytes: 60)
        window.clear()
        #expect(window == Window(messages: 4, bytes: 100))
    }
}

/// Publishes that wait for their answers, in order. A value: no clock, no connection.
package struct Outbox {
    /// Publishes on their way at once; a server reads no further at 64.
    static let mostSent = 32

    private struct Entry {
        var draft: Draft
        var isSent = false
    }

    private let most: Int
    private var entries: [Entry] = []
    private var lastRef = 0
    /// Nothing is sent before, in milliseconds: the server asked for a pause.
    package private(set) var notBefore: Int64?

    package init(most: Int) { self.most = max(1, most) }

    package var isEmpty: Bool { self.entries.isEmpty }

    /// - Throws: `queue_full`.
    package mutating func add(_ draft: Draft) throws(MartletError) -> Int {
        guard self.entries.count < self.most else {
            throw MartletError(.queueFull, "\(self.most) publishes wait for a connection: wait for earlier ones, or raise publishQueue.")
        }
        self.lastRef += 1
        var draft = draft
        draft.ref = self.lastRef
        self.entries.append(Entry(draft: draft))
        return draft.ref
    }

    /// What to send now.
    package mutating func due(at now: Int64) -> [Draft] {
        if let notBefore = self.notBefore {
            guard now >= notBefore else { return [] }
            self.notBefore = nil
        }
        var sent = self.entries.count { $0.isSent }
        var due: [Draft] = []
        for index in self.entries.indices where !self.entries[index].isSent && sent < Self.mostSent {
            self.entries[index].isSent = true
            sent += 1
            due.append(self.entries[index].draft)
        }
        return due
    }

    /// The connection is gone: what had no answer goes again. Its key makes that harmless.
    package mutating func lost() {
        for index in self.entries.indices { self.entries[index].isSent = false }
    }

    /// An answer came, or nobody waits for it any more.
    package mutating func remove(_ ref: Int) -> Bool {
        guard let index = self.entries.firstIndex(where: { $0.draft.ref == ref }) else { return false }
        self.entries.remove(at: index)
        return true
    }

    /// The server cannot take it now.
    package mutating func postpone(_ ref: Int, until time: Int64) {
        guard let index = self.entries.firstIndex(where: { $0.draft.ref == ref }) else { return }
        // Those behind it may have been taken; what is sent again keeps its order among the rest.
        self.entries[index].isSent = false
        self.notBefore = max(self.notBefore ?? 0, time)
    }
}

import MartletCore

/// What the store is told of sessions that are over or away, and what it could not do yet.
extension KeptSessions {
    /// The store is told to delete a record.
    func willDelete(_ key: DeviceKey) { self.withLock { $0.leaving[key, default: 0] += 1 } }

    /// - Parameter isDone: whether it could.
    func deleted(_ key: DeviceKey, isDone: Bool) {
        self.withLock { state in
            let left = state.leaving[key, default: 1] - 1
            if !isDone { state.undone.insert(key) }
            state.leaving[key] = left > 0 || state.undone.contains(key) ? left : nil
        }
    }

    /// The store could not write the record of a session whose client is away.
    func failed(_ key: DeviceKey) { _ = self.withLock { $0.undone.insert(key) } }

    /// The will of a session could not be published.
    ///
    /// - Returns: false if there is no room to try again.
    func failed(_ key: DeviceKey, _ will: Will) -> Bool {
        self.withLock { state in
            let weight = KeptQuotas.weight(will)
            guard state.willBytes + weight <= Self.failedWillBytes else { return false }
            state.willBytes += weight
            state.wills[key, default: []].append(will)
            state.undone.insert(key)
            return true
        }
    }

    /// Of wills that wait for the store.
    private static let failedWillBytes = 67_108_864

    /// What the store has failed to do for a session.
    struct Undone {
        /// What becomes of its record.
        enum Record {
            case write(KeptSession)
            case delete
            /// A live one was stored when it began, and is by its connection.
            case leave
        }

        var key: DeviceKey
        var record: Record
        var wills: [Will]
    }

    /// What the store has failed to write, as it is now. To be called ``inOrder(_:)``.
    ///
    /// - Parameter withWills: false leaves those with a will: who is connected gets it with each try.
    func takeUndone(withWills: Bool) -> [Undone] {
        self.withLock { state in
            let wills = withWills ? state.wills : [:]
            let undone = withWills ? state.undone : state.undone.filter { state.wills[$0] == nil }
            state.undone.subtract(undone)
            if withWills {
                state.wills = [:]
                state.willBytes = 0
            }
            return undone.map { key in
                if state.leaving[key] == 0 { state.leaving[key] = nil }
                let entry = state.entries[key]
                let wills = wills[key] ?? []
                guard state.lone[key] == nil, entry == nil || entry?.holder == 0 else { return Undone(key: key, record: .leave, wills: wills) }
                return Undone(key: key, record: entry.map { .write($0.session) } ?? .delete, wills: wills)
            }
        }
    }
}

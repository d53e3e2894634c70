/// Who reads: the hashes that its cursors carry.
package struct CursorIdentity: Hashable, Sendable {
    package var epoch: UInt32
    package var appHash: UInt32
    package var userHash: UInt32
    package var deviceHash: UInt32

    package init(epoch: UInt32, app: AppID, user: String?, device: String?) {
        self.epoch = epoch
        self.appHash = Cursor.hash(String(app.rawValue))
        self.userHash = Cursor.hash(user)
        self.deviceHash = Cursor.hash(device)
    }

    package func cursor(tag: UInt32, at positions: Positions) -> Cursor {
        Cursor(
            tag: tag, epoch: self.epoch, appHash: self.appHash, userHash: self.userHash, deviceHash: self.deviceHash,
            positions: positions)
    }

    private func hash(_ scope: Scope) -> UInt32 {
        switch scope {
        case .user: self.userHash
        case .device: self.deviceHash
        case .app: self.appHash
        }
    }

    private func presentedHash(_ scope: Scope, in cursor: Cursor) -> UInt32 {
        switch scope {
        case .user: cursor.userHash
        case .device: cursor.deviceHash
        case .app: cursor.appHash
        }
    }

    /// Takes from a cursor what is valid for this reader.
    ///
    /// A scope whose owner the cursor does not name at all is left out without a gap: there is nothing wrong with it.
    ///
    /// - Parameters:
    ///   - end: the end of the log; an offset beyond it was never given out.
    /// - Returns: the scopes whose positions count, and a gap for each that does not.
    package func accept(_ cursor: Cursor, end: UInt64) -> (scopes: [Scope], gaps: [GapNotice]) {
        var scopes: [Scope] = []
        var gaps: [GapNotice] = []
        for scope in Scope.allCases {
            let own = self.hash(scope)
            let presented = self.presentedHash(scope, in: cursor)
            if own == 0 || presented == 0 { continue }
            if presented != own || cursor.appHash != self.appHash {
                gaps.append(.init(reason: .owner, scope: scope))
            } else if cursor.epoch != self.epoch {
                gaps.append(.init(reason: .epoch, scope: scope))
            } else if Priority.allCases.contains(where: { cursor.positions[Lane(scope, $0)] > end }) {
                gaps.append(.init(reason: .beyondEnd, scope: scope))
            } else {
                scopes.append(scope)
            }
        }
        return (scopes, gaps)
    }

    /// The positions of a cursor that count for this reader, 0 elsewhere.
    package func validPositions(of cursor: Cursor, end: UInt64) -> (positions: Positions, gaps: [GapNotice]) {
        let (scopes, gaps) = self.accept(cursor, end: end)
        var positions = Positions()
        for scope in scopes { positions.set(scope, from: cursor.positions) }
        return (positions, gaps)
    }
}

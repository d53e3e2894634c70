import MartletCore

/// Forgets what of a topic is needed no longer.
extension Writer {
    /// Takes note of a trim; several of one topic are one, done before the topic's next append in the group or at its end.
    func trim(_ key: TopicKey, upTo offset: UInt64, _ group: inout Group) {
        // What comes later is not meant, however large the offset.
        let upTo = min(offset, self.nextOffset - 1)
        let before = group.trims.updateValue(upTo, forKey: key)
        if let before { group.trims[key] = max(before, upTo) } else { group.rows += 1 }
    }

    func applyTrims(_ group: inout Group) throws {
        for key in group.trims.keys { try self.applyTrim(of: key, &group) }
    }

    /// Does the trim that the group holds of a topic, if any.
    func applyTrim(of key: TopicKey, _ group: inout Group) throws {
        guard let upTo = group.trims.removeValue(forKey: key), let id = try self.knownTopic(key) else { return }
        var book = try self.book(id, group)
        let before = book.state
        // What was too old before stays lost.
        try self.ageOut(id, &book, group)
        if try self.take(id, &book, group, upTo: upTo) { book.state.cut(upTo: upTo, isLost: false) }
        self.books[id] = book
        guard book.state != before else { return }
        try self.begin(&group)
        group.topics[id] = book.state
        try self.write(book.state, of: id)
        self.isReaping = true
    }

    /// Takes the messages up to an offset out of a book.
    ///
    /// - Returns: whether there were any.
    private func take(_ id: Int64, _ book: inout TopicBook, _ group: Group, upTo offset: UInt64) throws -> Bool {
        var changed = book
        try self.visit(id, after: book.state.upTo, nil, group) { head in
            changed.oldestBorn = head.born
            guard head.offset <= offset else { return false }
            changed.remove(head.size)
            return true
        }
        defer { book = changed }
        return changed.count < book.count
    }
}

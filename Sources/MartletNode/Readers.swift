/// The sessions of one shard that read one inbox. Most inboxes have one, which costs no array.
enum Readers {
    case none
    case one(LiveSession)
    case many([ObjectIdentifier: LiveSession])

    mutating func add(_ session: LiveSession) {
        switch self {
        case .none: self = .one(session)
        case .one(let other): self = .many([ObjectIdentifier(other): other, ObjectIdentifier(session): session])
        case .many(var sessions):
            // Given up first, so that the dictionary is not copied.
            self = .none
            sessions[ObjectIdentifier(session)] = session
            self = .many(sessions)
        }
    }

    mutating func remove(_ session: LiveSession) -> (wasThere: Bool, isEmpty: Bool) {
        switch self {
        case .none: return (false, true)
        case .one(let other):
            guard other === session else { return (false, false) }
            self = .none
            return (true, true)
        case .many(var sessions):
            self = .none
            let wasThere = sessions.removeValue(forKey: ObjectIdentifier(session)) != nil
            self = .many(sessions)
            return (wasThere, sessions.isEmpty)
        }
    }

    /// Calls `body` with each of them.
    func each(_ body: (LiveSession) -> Void) {
        switch self {
        case .none: break
        case .one(let session): body(session)
        case .many(let sessions): for session in sessions.values { body(session) }
        }
    }
}

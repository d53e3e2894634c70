import MartletCore
import MartletWire

/// Counts what the sessions of each app, and of each of its users, take while they are kept. The records of groups are not counted: each
/// has a subscription of a session that is.
struct KeptQuotas {
    private struct Owner: Hashable {
        var app: AppID
        var user: String
    }

    private var sessions: [AppID: Int] = [:]
    private var users: [Owner: Int] = [:]
    private var wills: [AppID: Int] = [:]
    private let most: (sessions: Int, perUser: Int, willBytes: Int)

    init(_ limits: Limits) { self.most = (limits.keptSessions, limits.keptSessionsPerUser, limits.willBytes) }

    /// What a will takes of memory while its session is kept, or connected.
    static func weight(_ will: Will?) -> Int { will.map { $0.request.members.count + ($0.request.topic?.name.utf8.count ?? 0) + 64 } ?? 0 }

    /// Asks whether a session may be entered.
    ///
    /// - Parameters:
    ///   - isKept: whether it is kept after its connection.
    ///   - old: what goes for it, or goes on as it.
    /// - Throws: `too_many_sessions`.
    func check(_ app: AppID, user: String?, isKept: Bool, will: Will?, for old: KeptSession?) throws(WireError) {
        if isKept {
            guard old != nil || self.sessions[app, default: 0] < self.most.sessions else {
                throw WireError(
                    .tooManySessions, "The app keeps \(self.most.sessions) sessions, as many as it may: let some end.", limit: self.most.sessions)
            }
            // Who has no user is a back end, or dev mode's nobody.
            guard let user, self.most.perUser > 0, old == nil || !isSameName(old?.user, user) else { return try self.check(app, will, for: old) }
            guard self.users[Owner(app: app, user: user), default: 0] < self.most.perUser else {
                throw WireError(
                    .tooManySessions, "The server keeps \(self.most.perUser) sessions of this user, as many as one user may have: let some end.",
                    limit: self.most.perUser)
            }
        }
        try self.check(app, will, for: old)
    }

    private func check(_ app: AppID, _ will: Will?, for old: KeptSession?) throws(WireError) {
        let own = Self.weight(will)
        guard own == 0 || self.wills[app, default: 0] - Self.weight(old?.will) + own <= self.most.willBytes else {
            throw WireError(
                .tooManySessions, "The wills of the app's clients take \(self.most.willBytes) bytes, as many as they may: connect without one.",
                limit: self.most.willBytes)
        }
    }

    mutating func add(_ session: KeptSession) { self.count(session, 1) }
    mutating func remove(_ session: KeptSession) { self.count(session, -1) }

    private mutating func count(_ session: KeptSession, _ change: Int) {
        guard !ShareName.isGroup(session.key.name) else { return }
        Self.add(change, to: &self.sessions[session.key.app])
        if let user = session.user { Self.add(change, to: &self.users[Owner(app: session.key.app, user: user)]) }
        self.add(change * Self.weight(session.will), of: session.key.app)
    }

    /// Bytes of wills come, or go.
    mutating func add(_ bytes: Int, of app: AppID) { Self.add(bytes, to: &self.wills[app]) }

    private static func add(_ change: Int, to count: inout Int?) {
        let sum = (count ?? 0) + change
        count = sum == 0 ? nil : sum
    }
}

/// A tenant. Dev mode has one, ``dev``.
package struct AppID: Hashable, Sendable {
    package var rawValue: UInt32
    package init(_ rawValue: UInt32) { self.rawValue = rawValue }
    /// The app of `martlet serve --dev`.
    package static let dev = AppID(1)
}

/// Whom an inbox belongs to. The raw value is stored: it never changes.
package enum Scope: UInt8, CaseIterable, Sendable {
    case user = 0
    case device = 1
    /// The whole app: a broadcast.
    case app = 2
}

/// Names one inbox.
package struct InboxKey: Hashable, Sendable {
    package var app: AppID
    package var scope: Scope
    /// The user or device id; empty for the app's own inbox.
    package var name: String

    package init(app: AppID, scope: Scope, name: String) {
        self.app = app
        self.scope = scope
        self.name = name
    }

    package static func == (left: InboxKey, right: InboxKey) -> Bool {
        left.app == right.app && left.scope == right.scope && isSameName(left.name, right.name)
    }

    package static func user(_ name: String, in app: AppID) -> InboxKey { .init(app: app, scope: .user, name: name) }
    package static func device(_ name: String, in app: AppID) -> InboxKey { .init(app: app, scope: .device, name: name) }
    package static func everyone(in app: AppID) -> InboxKey { .init(app: app, scope: .app, name: "") }
}

/// Names one device of an app.
package struct DeviceKey: Hashable, Sendable {
    package var app: AppID
    package var name: String

    package init(app: AppID, name: String) {
        self.app = app
        self.name = name
    }

    package static func == (left: DeviceKey, right: DeviceKey) -> Bool { left.app == right.app && isSameName(left.name, right.name) }
}

/// Whether two names are the same byte for byte, as in a store. Strings of Swift are equal already when Unicode calls them equivalent
/// (`é` as one scalar or as two), which would give the messages of one user to another.
package func isSameName(_ left: String?, _ right: String?) -> Bool {
    guard var left, var right else { return left == nil && right == nil }
    guard left.utf8.count == right.utf8.count else { return false }
    return left.withUTF8 { left in
        right.withUTF8 { right in isSame(UnsafeRawBufferPointer(left), UnsafeRawBufferPointer(right)) }
    }
}

/// Eight bytes at a time: names are compared for each message, where the collections' own comparison shows.
private func isSame(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    guard left.count == right.count else { return false }
    var index = 0
    while index + 8 <= left.count {
        guard
            left.loadUnaligned(fromByteOffset: index, as: UInt64.self) == right.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        else { return false }
        index += 8
    }
    while index < left.count {
        guard left[index] == right[index] else { return false }
        index += 1
    }
    return true
}

/// A text as a key that is equal to another only byte for byte: see ``isSameName(_:_:)``.
package struct ExactText: Hashable, Sendable {
    package var text: String

    package init(_ text: String) { self.text = text }

    package static func == (left: ExactText, right: ExactText) -> Bool { isSameName(left.text, right.text) }
}

/// How urgent a message is; each has a lane of its own in every inbox. The raw value is stored.
package enum Priority: UInt8, CaseIterable, Comparable, Sendable {
    case high = 0
    case medium = 1
    case low = 2

    /// More urgent is less.
    package static func < (left: Priority, right: Priority) -> Bool { left.rawValue < right.rawValue }

    /// As in a message's `priority`.
    package var name: String {
        switch self {
        case .high: "high"
        case .medium: "medium"
        case .low: "low"
        }
    }

    package init?(name: some StringProtocol) {
        switch name {
        case "high": self = .high
        case "medium": self = .medium
        case "low": self = .low
        default: return nil
        }
    }
}

/// One of the nine lanes that a device reads: three scopes by three priorities.
package struct Lane: Hashable, Sendable {
    /// 0 to 8: `scope * 3 + priority`.
    package let index: Int

    package init(_ scope: Scope, _ priority: Priority) {
        self.index = Int(scope.rawValue) * 3 + Int(priority.rawValue)
    }

    /// - Parameter index: 0 to 8; anything else is taken into that range.
    package init(index: Int) { self.index = ((index % 9) + 9) % 9 }

    package static let count = 9
    package static let all = (0..<9).map { Lane(index: $0) }

    package var scope: Scope { Scope(rawValue: UInt8(self.index / 3)) ?? .app }
    package var priority: Priority { Priority(rawValue: UInt8(self.index % 3)) ?? .low }
}

/// A change of one session's record. The bytes are the core's (``KeptSession``); a store looks into neither.
package struct SessionSave: Sendable {
    package enum Change: Sendable {
        /// What is nil stays as it is. A record that is not there begins with nothing in the other part.
        case set(settings: [UInt8]?, state: [UInt8]?)
        case delete
    }

    /// The app, and the client's name or that of a group.
    package var key: DeviceKey
    package var change: Change

    package init(key: DeviceKey, change: Change) {
        self.key = key
        self.change = change
    }
}

/// One session's record.
package struct SessionRow: Equatable, Sendable {
    package var key: DeviceKey
    package var settings: [UInt8]
    package var state: [UInt8]

    package init(key: DeviceKey, settings: [UInt8], state: [UInt8]) {
        self.key = key
        self.settings = settings
        self.state = state
    }
}

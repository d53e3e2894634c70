/// What the publisher of a topic's message said of how it is to be handed on (MQTT 5.0 §3.3.1), beside what its subscribers see.
package struct MessageMarks: Hashable, Sendable {
    /// Stored: the meaning of its bits never changes. 0 stands for what is not published by MQTT.
    package private(set) var rawValue: UInt64

    /// - Parameter rawValue: as it was stored.
    package init(rawValue: UInt64 = 0) { self.rawValue = rawValue }

    // Bits 0 and 1: 2 less the QoS. 2: retain. 3: by MQTT. 4: has an expiry. 5: content type assumed. 6: said to be JSON, and is. 8 to 39: origin.

    /// The QoS of the publish, 0 to 2: nobody gets the message with a higher one. Default 2.
    package var qos: UInt8 {
        get { 2 - min(2, UInt8(truncatingIfNeeded: self.rawValue & 3)) }
        set { self.rawValue = self.rawValue & ~3 | UInt64(2 - min(2, newValue)) }
    }

    /// Whether it was published to be retained; subscribers may want to be told.
    package var isRetained: Bool {
        get { self.has(2) }
        set { self.set(2, newValue) }
    }

    /// Whether it came by MQTT, whose publishers expect that subscribers get what they sent and no more.
    package var isMQTT: Bool {
        get { self.has(3) }
        set { self.set(3, newValue) }
    }

    /// Whether its publisher said when it expires.
    package var hasExpiry: Bool {
        get { self.has(4) }
        set { self.set(4, newValue) }
    }

    /// Whether its content type is ours, because its publisher named none.
    package var isTypeAssumed: Bool {
        get { self.has(5) }
        set { self.set(5, newValue) }
    }

    /// Whether its publisher said that it is JSON, and it is: then it goes out as it came in, strings with their quotes.
    package var isJSON: Bool {
        get { self.has(6) }
        set { self.set(6, newValue) }
    }

    /// Who published it, as ``origin(of:)`` says; 0 for nobody who subscribes.
    package var origin: UInt32 {
        get { UInt32(truncatingIfNeeded: self.rawValue >> 8) }
        set { self.rawValue = self.rawValue & ~(0xffff_ffff << 8) | UInt64(newValue) << 8 }
    }

    /// Names a client among those of its app, for ``SubscribeOptions/noLocal``.
    package static func origin(of device: String) -> UInt32 { max(1, shortHash(device)) }

    private func has(_ bit: UInt64) -> Bool { self.rawValue & 1 << bit != 0 }

    private mutating func set(_ bit: UInt64, _ value: Bool) {
        self.rawValue = value ? self.rawValue | 1 << bit : self.rawValue & ~(1 << bit)
    }
}

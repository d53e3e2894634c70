import MartletCore

/// A hello on the heap, so that a connection lets go of all of it once its session is open.
final class HelloBox {
    let value: Hello
    init(_ value: Hello) { self.value = value }
}

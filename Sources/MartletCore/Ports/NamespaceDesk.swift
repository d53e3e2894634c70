/// A namespace of an app, as it applies.
package struct NamespaceInfo: Equatable, Sendable {
    package var name: String
    /// What its topics do.
    package var options: TopicOptions
    /// What was set through the API; nil if nothing was.
    package var change: TopicOptionsChange?
    /// Whether the configuration names it.
    package var isConfigured: Bool

    package init(name: String, options: TopicOptions, change: TopicOptionsChange?, isConfigured: Bool) {
        self.name = name
        self.options = options
        self.change = change
        self.isConfigured = isConfigured
    }
}

/// Shows and changes the options of an app's namespaces.
package protocol NamespaceDesk: TopicNamespaces {
    /// The options of a namespace that nothing is set for.
    var defaults: TopicOptions { get }

    /// Those that something is set for, by the API or by the configuration, ordered by name, byte by byte.
    func namespaces(in app: AppID) -> [NamespaceInfo]

    /// One of them, or what applies to a name that nothing is set for.
    func namespace(_ name: String, in app: AppID) -> NamespaceInfo

    /// Sets what the API says of a namespace, instead of what it said before; nil takes it back.
    ///
    /// - Parameter done: called on any thread, once it is on disk and in effect; an error if it is not.
    func setNamespace(
        _ name: String, in app: AppID, to change: TopicOptionsChange?, done: @escaping @Sendable (StoreError?) -> Void)
}

/// Keeps what was set for namespaces through the API: on disk, told from memory, changed from outside while the server runs.
package protocol NamespaceDirectory: Sendable {
    /// Calls `body` with all that is kept: before this returns, and after each change. Not at the same time on two threads.
    ///
    /// Each key is an app and a namespace's name. One body at a time; another takes its place.
    func watchNamespaces(_ body: @escaping @Sendable ([TopicKey: TopicOptionsChange]) -> Void)

    /// - Parameters:
    ///   - change: nil removes it.
    ///   - done: called on any thread, after the watcher was told; an error if it could not be stored.
    func setNamespace(_ key: TopicKey, _ change: TopicOptionsChange?, done: @escaping @Sendable (StoreError?) -> Void)
}

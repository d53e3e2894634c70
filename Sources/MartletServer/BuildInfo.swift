/// What was built.
package enum BuildInfo {
    /// The version, as `martlet version` and `martlet_build_info` say it.
    package static let version = "0.1.0"
}

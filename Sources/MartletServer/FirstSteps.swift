/// What a new server lacks before anybody can use it.
enum FirstSteps {
    /// What the operator still has to do, as a sentence; nil if nothing is missing.
    static func line(_ configuration: ServerConfiguration, hasKeys: Bool) -> String? {
        guard !configuration.isDev else { return nil }
        let hasTokens = configuration.apps.values.contains {
            $0.tokens.secret != nil || $0.tokens.jwksURL != nil || !$0.tokens.publicKeys.isEmpty
        }
        let steps =
            (hasKeys ? [] : ["make a key for publishers with `martlet key create --data \(configuration.dataFolder)`"])
            + (hasTokens ? [] : ["set tokens.secretFile, tokens.publicKeys or tokens.jwksURL for clients"])
        guard !steps.isEmpty else { return nil }
        return steps.joined(separator: ", and ")
    }
}

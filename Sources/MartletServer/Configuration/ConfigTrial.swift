import Logging
import MartletAccess
import MartletNet

/// What the server finds out only when it starts, tried beforehand. Leaves nothing behind, and does not mind a server that runs.
extension LoadedConfiguration {
    /// Adds what would keep the server from starting to the problems.
    package mutating func tryStart() async {
        if let tls = self.configuration.tls, self.isReadable(tls.certificate), self.isReadable(tls.key) {
            do throws(EdgeError) {
                _ = try TLSCertificate(
                    certificate: tls.certificate, key: tls.key, logger: Logger(label: "check") { _ in SwiftLogNoOpLogHandler() })
            } catch {
                self.refuse("tls.key", "\(error)")
            }
        }
        for (app, options) in self.configuration.apps.sorted(by: { $0.key < $1.key }) {
            for file in options.tokens.publicKeys {
                guard let text = try? TextFile.read(file), !text.contains("PRIVATE KEY") else { continue }
                if let fault = await TokenKeys.fault(ofPublicKey: text, name: file) {
                    self.refuse(app == ConfigCatalog.defaultApp ? "tokens.publicKeys" : "apps.\(app).tokens.publicKeys", fault)
                }
            }
        }
        if let fault = FileStatus.fault(ofFolder: self.configuration.dataFolder) { self.refuse("data", fault) }
    }

    /// If not, that was said.
    private func isReadable(_ path: String) -> Bool { (try? TextFile.read(path)) != nil }
}

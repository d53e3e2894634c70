import Crypto
package import Logging
package import NIOCore
import NIOSSL
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The listeners' certificate and key, read from two PEM files and read again when these change.
///
/// A connection keeps what it began with. A pair that cannot be used changes nothing: the one before stays.
package final class TLSCertificate: Sendable {
    private let certificatePath: String
    private let keyPath: String
    private let logger: Logger
    private let state: Mutex<State>

    private struct State {
        var configuration: TLSConfiguration
        /// By what is offered in ALPN, best first; made when the first connection of a listener needs it.
        var contexts: [[String]: NIOSSLContext] = [:]
        /// What the files held when they were last read, as hashes; nil for one that could not be read.
        var digests: [SHA256.Digest?]
        /// Since when the files hold what cannot be used; nil if they do not, or that was logged as an error.
        var unusableSince: NIODeadline?
    }

    /// Bytes of one PEM file. A chain with its key has less than 20,000.
    private static let fileBytes = 1_048_576
    /// Time that a peer gets to answer the end of a TLS connection.
    private static let shutdownTimeout = TimeAmount.seconds(2)
    /// Time that a renewal gets to put the second file beside the first.
    private static let patience = TimeAmount.seconds(60)
    /// A certificate that ends sooner is worth a warning, in seconds.
    private static let endsSoonSeconds = 14 * 86_400

    /// For TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325 §4.2). Those of TLS 1.3 all are so.
    private static let cipherSuites = [
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
    ].joined(separator: ":")

    /// Reads the files.
    ///
    /// - Throws: ``EdgeError`` with a sentence that names the file.
    package init(certificate: String, key: String, logger: Logger) throws(EdgeError) {
        self.certificatePath = certificate
        self.keyPath = key
        self.logger = logger
        // Before the files: one that changes meanwhile is read again.
        let digests = Self.digests(certificate, key)
        self.state = Mutex(State(configuration: try Self.read(certificate: certificate, key: key, logger: logger), digests: digests))
    }

    /// For a new connection.
    ///
    /// - Parameter protocols: what is offered in ALPN, best first.
    func context(_ protocols: [String]) throws -> NIOSSLContext {
        try self.state.withLock { state in
            if let context = state.contexts[protocols] { return context }
            var configuration = state.configuration
            configuration.applicationProtocols = protocols
            let context = try NIOSSLContext(configuration: configuration)
            state.contexts[protocols] = context
            return context
        }
    }

    /// Takes what the files hold if that changed. Call now and then, from one place.
    package func reloadIfChanged(now: NIODeadline = .now()) {
        let digests = Self.digests(self.certificatePath, self.keyPath)
        let (known, unusableSince) = self.state.withLock { ($0.digests, $0.unusableSince) }
        if digests != known {
            self.reload(why: "the files changed", now: now)
        } else if let since = unusableSince, now - since >= Self.patience {
            self.reload(why: "the files are still not a pair", isLast: true, now: now)
        }
    }

    /// Takes what the files hold now. What cannot be used is logged, and changes nothing: as a warning, because the other file may
    /// be about to follow, and as an error if it stays so.
    package func reload(why: String, isLast: Bool = false, now: NIODeadline = .now()) {
        let digests = Self.digests(self.certificatePath, self.keyPath)
        do throws(EdgeError) {
            let configuration = try Self.read(certificate: self.certificatePath, key: self.keyPath, logger: self.logger)
            self.state.withLock { $0 = State(configuration: configuration, digests: digests) }
            self.logger.notice("certificate reloaded", metadata: ["certificate": "\(self.certificatePath)", "why": "\(why)"])
        } catch {
            self.state.withLock { state in
                state.digests = digests
                state.unusableSince = isLast ? nil : state.unusableSince ?? now
            }
            let metadata: Logger.Metadata = ["error": "\(error)", "why": "\(why)"]
            if isLast {
                self.logger.error("certificate not reloaded, the one before stays", metadata: metadata)
            } else {
                self.logger.warning("certificate not reloaded, the one before stays", metadata: metadata)
            }
        }
    }

    // MARK: Reading

    private static func read(certificate: String, key: String, logger: Logger) throws(EdgeError) -> TLSConfiguration {
        let chain = try self.chain(certificate)
        let privateKey = try self.key(key)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv12
        configuration.cipherSuites = self.cipherSuites
        configuration.renegotiationSupport = .none
        configuration.shutdownTimeout = self.shutdownTimeout
        do {
            // Finds out whether the two belong together.
            _ = try NIOSSLContext(configuration: configuration)
        } catch {
            throw EdgeError("The key in \(key) does not belong to the first certificate in \(certificate): give the pair that was made together.")
        }
        if let first = chain.first { self.warnOfEnd(first, path: certificate, logger: logger) }
        return configuration
    }

    private static func chain(_ path: String) throws(EdgeError) -> [NIOSSLCertificate] {
        let bytes = try self.bytes(path, what: "certificate")
        guard let chain = try? NIOSSLCertificate.fromPEMBytes(bytes), !chain.isEmpty else {
            throw EdgeError("There is no certificate in \(path): it must be PEM, with -----BEGIN CERTIFICATE-----.")
        }
        return chain
    }

    private static func key(_ path: String) throws(EdgeError) -> NIOSSLPrivateKey {
        let bytes = try self.bytes(path, what: "key")
        if String(decoding: bytes, as: UTF8.self).contains("ENCRYPTED") {
            throw EdgeError(
                "The key in \(path) is encrypted: give one without a passphrase (openssl pkey -in … -out …), readable by the server only.")
        }
        guard let key = try? NIOSSLPrivateKey(bytes: bytes, format: .pem) else {
            throw EdgeError("There is no private key in \(path): it must be PEM, with -----BEGIN PRIVATE KEY-----.")
        }
        return key
    }

    private static func bytes(_ path: String, what: String) throws(EdgeError) -> [UInt8] {
        guard let file = fopen(path, "r") else {
            throw EdgeError("The \(what) file \(path) cannot be read: \(String(cString: strerror(errno))).")
        }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: self.fileBytes + 1)
        let count = fread(&bytes, 1, bytes.count, file)
        guard ferror(file) == 0 else {
            throw EdgeError("The \(what) file \(path) cannot be read: \(String(cString: strerror(errno))).")
        }
        guard count <= self.fileBytes else {
            throw EdgeError("The \(what) file \(path) has more than \(self.fileBytes) bytes: it is not a PEM file.")
        }
        return Array(bytes.prefix(count))
    }

    private static func digests(_ paths: String...) -> [SHA256.Digest?] {
        paths.map { path in (try? self.bytes(path, what: "")).map { SHA256.hash(data: $0) } }
    }

    private static func warnOfEnd(_ certificate: NIOSSLCertificate, path: String, logger: Logger) {
        let left = certificate.notValidAfter - time(nil)
        guard left < self.endsSoonSeconds else { return }
        let metadata: Logger.Metadata = ["certificate": "\(path)", "days": "\(left / 86_400)"]
        if left < 0 {
            logger.error("the certificate has expired: clients refuse it", metadata: metadata)
        } else {
            logger.warning("the certificate expires soon", metadata: metadata)
        }
    }
}

/// TLS of one listener.
package struct ListenerTLS: Sendable {
    private let certificate: TLSCertificate
    /// What is offered in ALPN, best first.
    private let protocols: [String]

    package init(_ certificate: TLSCertificate, protocols: [String]) {
        self.certificate = certificate
        self.protocols = protocols
    }

    /// For a new connection.
    func context() throws -> NIOSSLContext { try self.certificate.context(self.protocols) }
}

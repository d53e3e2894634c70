import Logging
import MartletCore
import MartletNet
import UnixSignals

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The listeners' edge as the configuration has it.
enum EdgeSetup {
    /// Time between two looks at the certificate's files.
    private static let renewalInterval = Duration.seconds(2)

    /// - Throws: ``StartError`` or an error of the edge, each a sentence for the operator.
    static func make(
        _ configuration: ServerConfiguration, logger: Logger
    ) throws -> NetEdge {
        let openFiles = self.raiseOpenFiles()
        let limits = configuration.limits
        guard openFiles > limits.reservedFiles else {
            throw StartError(
                "This process may have \(openFiles) files open, and \(limits.reservedFiles) are kept for the store: allow it more (ulimit -n, LimitNOFILE=)."
            )
        }
        if limits.connections > openFiles - limits.reservedFiles {
            logger.warning(
                "fewer connections than configured, because this process may not have so many files open",
                metadata: ["connections": "\(openFiles - limits.reservedFiles)", "configured": "\(limits.connections)", "openFiles": "\(openFiles)"])
        }
        let tls = try configuration.tls.map {
            try TLSCertificate(certificate: $0.certificate, key: $0.key, logger: logger)
        }
        return try NetEdge(
            limits: limits, openFiles: openFiles, tls: tls, trustedProxies: configuration.trustedProxies,
            proxyProtocol: configuration.proxyProtocol, logger: logger)
    }

    /// Reads the certificate again on SIGHUP and when its files change, until cancelled.
    static func renewal(of certificate: TLSCertificate?, hangups: UnixSignalsSequence, logger: Logger) -> Task<Void, Never> {
        Task {
            await withTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    for await _ in hangups {
                        if let certificate {
                            certificate.reload(why: "SIGHUP")
                        } else {
                            logger.notice("SIGHUP: there is no certificate to reload")
                        }
                    }
                }
                tasks.addTask {
                    while let certificate, (try? await Task.sleep(for: Self.renewalInterval)) != nil {
                        certificate.reloadIfChanged()
                    }
                }
            }
        }
    }

    /// Takes as many open files as the system lets the process have.
    ///
    /// - Returns: how many that is.
    private static func raiseOpenFiles() -> Int {
        #if os(Linux)
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #else
        let resource = RLIMIT_NOFILE
        #endif
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return 1_024 }
        if limit.rlim_cur < limit.rlim_max {
            var more = limit
            more.rlim_cur = limit.rlim_max
            if setrlimit(resource, &more) == 0 { limit = more }
        }
        return Int(clamping: limit.rlim_cur)
    }
}

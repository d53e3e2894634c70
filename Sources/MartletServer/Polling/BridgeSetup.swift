import Logging
import MartletBridge
import MartletCore
import MartletNode
import MartletStoreSQLite
import NIOCore

/// The bridges as the configuration has them.
enum BridgeSetup {
    /// - Returns: nil if there are none.
    /// - Throws: ``StartError`` for a bridge of an app that there is not.
    static func make(
        _ configuration: ServerConfiguration, access: AccessSetup, node: Node, group: any EventLoopGroup, instruments: Instruments, logger: Logger
    ) throws -> BridgeService? {
        guard !configuration.bridges.isEmpty else { return nil }
        let definitions = try configuration.bridges.sorted { $0.key < $1.key }.map { name, options in
            guard let app = access.directory.app(options.app) else {
                throw StartError("The bridge \(name) is of the app \(options.app), which there is not: martlet app create \(options.app).")
            }
            return BridgeService.Definition(name: name, app: app, options: options)
        }
        let service = BridgeService(
            definitions, hosts: HostList(configuration.bridgeHosts), desk: node, limits: configuration.limits, group: group,
            now: node.clock.now, wall: node.clock.wall, random: node.clock.random, logger: logger, metrics: instruments.factory)
        instruments.watch(service)
        return service
    }
}

// swift-tools-version: 6.2
import PackageDescription

/// Adapters may use the core and the wire types, never another adapter; those that listen, `MartletNet`.
func adapter(_ name: String, _ products: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: ["MartletCore", "MartletWire"] + products)
}

let package = Package(
    name: "martlet",
    // Of MartletClient, which apps use; the server is built on Linux only.
    platforms: [.macOS(.v13), .iOS(.v16), .tvOS(.v16), .watchOS(.v9), .visionOS(.v1)],
    products: [
        .library(name: "MartletClient", targets: ["MartletClient"]),
        .library(name: "MartletClientGRPC", targets: ["MartletClientGRPC"]),
        .executable(name: "martlet", targets: ["martlet"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: ["YAML"]),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        // Without its default traits, which import all of Foundation.
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
    ],
    targets: [
        .target(name: "MartletWire"),
        .target(name: "MartletCore", dependencies: ["MartletWire"]),
        .target(
            name: "MartletNode",
            dependencies: [
                "MartletCore", "MartletWire",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
            ]
        ),
        adapter(
            "MartletStoreSQLite",
            [
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
            ]
        ),
        adapter(
            "MartletAccess",
            [
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "JWTKit", package: "jwt-kit"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ]
        ),
        // The system's zlib: permessage-deflate.
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
        adapter(
            "MartletBridge",
            [
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]
        ),
        // A backend of swift-metrics that writes Prometheus text.
        .target(
            name: "MartletPrometheus",
            dependencies: [.product(name: "CoreMetrics", package: "swift-metrics")]
        ),
        // Sockets: what adapters that listen share.
        adapter(
            "MartletNet",
            [
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]
        ),
        adapter(
            "MartletHTTP",
            [
                "CZlib", "MartletNet",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "NIOTLS", package: "swift-nio"),
            ]
        ),
        adapter(
            "MartletMQTT",
            [
                "MartletNet",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
            ]
        ),
        // What scripts/proto made of api/: the messages of gRPC and of martlet.proto.v1.
        .target(name: "MartletProto", dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")]),
        adapter(
            "MartletGRPC",
            [
                "CZlib", "MartletNet", "MartletProto",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ]
        ),
        // The Swift client over gRPC; Generated/ is made by scripts/proto.
        .target(
            name: "MartletClientGRPC",
            dependencies: [
                "MartletClient", "MartletProto",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ]
        ),
        .target(
            name: "MartletServer",
            dependencies: [
                "MartletAccess", "MartletBridge", "MartletCore", "MartletGRPC", "MartletHTTP", "MartletMQTT", "MartletNet", "MartletNode",
                "MartletPrometheus",
                "MartletStoreSQLite", "MartletWire",
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Yams", package: "Yams"),
            ]
        ),
        .executableTarget(
            name: "martlet",
            dependencies: [
                "MartletClient", "MartletServer", "MartletWire",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]
        ),
        // The SDK: on Apple's platforms Foundation is all that it needs.
        .target(
            name: "MartletClient",
            dependencies: [
                "MartletWire",
                .product(name: "NIOCore", package: "swift-nio", condition: .when(platforms: [.linux])),
                .product(name: "NIOHTTP1", package: "swift-nio", condition: .when(platforms: [.linux])),
                .product(name: "NIOPosix", package: "swift-nio", condition: .when(platforms: [.linux])),
                .product(name: "NIOSSL", package: "swift-nio-ssl", condition: .when(platforms: [.linux])),
                .product(name: "NIOWebSocket", package: "swift-nio", condition: .when(platforms: [.linux])),
            ]
        ),
        .target(
            name: "MartletTestSupport",
            dependencies: ["MartletCore", "MartletNode", "MartletWire"]
        ),
        // A SQLite file system for the tests: at a crash it drops what was not synced.
        .target(name: "CLossyVFS", linkerSettings: [.linkedLibrary("sqlite3")]),

        .testTarget(name: "MartletWireTests", dependencies: ["MartletWire"]),
        .testTarget(name: "MartletClientTests", dependencies: ["MartletClient"]),
        // A client that the process tests drive.
        .executableTarget(name: "ClientProbe", dependencies: ["MartletClient", "MartletClientGRPC"], path: "Tests/ClientProbe"),
        .testTarget(name: "MartletCoreTests", dependencies: ["MartletCore", "MartletWire", "MartletTestSupport"]),
        .testTarget(
            name: "MartletStoreSQLiteTests",
            dependencies: [
                "CLossyVFS", "MartletCore", "MartletStoreSQLite", "MartletTestSupport", "MartletWire",
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .testTarget(
            name: "MartletNetTests",
            dependencies: [
                "MartletCore", "MartletNet",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]
        ),
        .testTarget(
            name: "MartletHTTPTests",
            dependencies: [
                "MartletCore", "MartletHTTP", "MartletNet", "MartletTestSupport", "MartletWire",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOEmbedded", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
            ]
        ),
        .testTarget(
            name: "MartletMQTTTests",
            dependencies: [
                "MartletMQTT", "MartletTestSupport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOTestUtils", package: "swift-nio"),
            ]
        ),
        .testTarget(
            name: "MartletGRPCTests",
            dependencies: [
                "MartletCore", "MartletGRPC", "MartletNet", "MartletProto", "MartletWire",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ]
        ),
        .testTarget(
            name: "MartletNodeTests",
            dependencies: [
                "MartletCore", "MartletNode", "MartletTestSupport", "MartletWire",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ]
        ),
        .testTarget(
            name: "MartletAccessTests",
            dependencies: [
                "MartletAccess", "MartletCore", "MartletWire",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "JWTKit", package: "jwt-kit"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]
        ),
        .testTarget(name: "MartletBridgeTests", dependencies: ["MartletBridge", "MartletCore", "MartletWire"]),
        .testTarget(
            name: "MartletPrometheusTests",
            dependencies: ["MartletPrometheus", .product(name: "CoreMetrics", package: "swift-metrics")]
        ),
        .testTarget(
            name: "MartletServerTests",
            dependencies: [
                "MartletCore", "MartletServer",
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .testTarget(name: "SimulationTests", dependencies: ["MartletCore", "MartletTestSupport", "MartletWire"]),
        .testTarget(name: "TidyTests"),
    ],
    swiftLanguageModes: [.v6]
)

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

for target in package.targets where target.type != .plugin && target.type != .system && target.name != "CLossyVFS" {
    target.swiftSettings = (target.swiftSettings ?? []) + settings
}

// What adapters call for each delivery is inlined and specialized there; `@inlinable` does that for `public` only.
for target in package.targets where target.name == "MartletNet" {
    target.swiftSettings = (target.swiftSettings ?? []) + [.unsafeFlags(["-enable-cmo-everything"], .when(configuration: .release))]
}

// An app that names this package with `traits: []` resolves only what MartletClient needs, and none of the server's packages.
package.traits = [.default(enabledTraits: ["Server"]), .trait(name: "Server", description: "Everything but MartletClient.")]

for target in package.targets where target.name != "MartletClient" {
    target.dependencies = target.dependencies.map { dependency in
        guard case .productItem(let name, let package, let aliases, _) = dependency else { return dependency }
        return .productItem(name: name, package: package, moduleAliases: aliases, condition: .when(traits: ["Server"]))
    }
}

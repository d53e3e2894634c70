// swift-tools-version: 6.2
// Fuzz targets for what takes bytes from strangers. A package of its own: everything in it is built with libFuzzer's instrumentation.
// The sources are symbolic links into ../Sources.
import PackageDescription

/// Symbolic links to the sources of the package above, with the coverage counters that guide the fuzzer.
func instrumented(_ name: String, _ dependencies: [Target.Dependency] = [], _ flags: [String] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings + [.unsafeFlags(["-sanitize=fuzzer"] + flags)])
}

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
    name: "martlet-fuzz",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
    ],
    targets: [
        .target(name: "CFuzzer"),
        .systemLibrary(name: "CZlib"),
        instrumented("MartletWire"),
        instrumented("MartletCore", ["MartletWire"]),
        instrumented("MartletNet", [.product(name: "NIOCore", package: "swift-nio")]),
        instrumented(
            "MartletHTTP",
            [
                "CZlib", "MartletCore", "MartletNet", "MartletWire", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ]),
        // As if it were tested: what is fuzzed here is internal.
        instrumented("MartletAccess", ["MartletCore", "MartletWire"], ["-enable-testing"]),
        instrumented("MartletBridge", ["MartletCore", "MartletWire"]),
        instrumented("MartletMQTT", ["MartletWire", .product(name: "NIOCore", package: "swift-nio")]),
        .target(name: "MartletProto", dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")], swiftSettings: settings),
        instrumented(
            "MartletGRPC",
            [
                "CZlib", "MartletCore", "MartletProto", "MartletWire", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"), .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ]),
        .executableTarget(
            name: "Fuzz",
            dependencies: [
                "CFuzzer", "MartletAccess", "MartletBridge", "MartletCore", "MartletGRPC", "MartletHTTP", "MartletMQTT", "MartletNet", "MartletProto",
                "MartletWire", .product(name: "NIOHPACK", package: "swift-nio-http2"), .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            swiftSettings: settings,
            // GNU gold, the default, fails on the debug information of this.
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer", "-use-ld=lld"])]
        ),
    ],
    swiftLanguageModes: [.v6]
)

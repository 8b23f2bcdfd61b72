// swift-tools-version: 6.1
import PackageDescription

/// The library modules, lowest layer first, with the modules that each may import.
///
/// `make` builds with `--explicit-target-dependency-import-check error`, so the compiler enforces this.
let libraries: KeyValuePairs<String, [String]> = [
    "Messages": [],
    "Hashing": [],
    "JSON": ["Messages"],
    "Jinja": ["JSON", "Messages"],
    "ModulePatterns": ["CPCRE2"],
    "Tensors": [],
    "Topology": ["Messages"],
    "Collectives": ["CProcess", "Hashing"],
    "Tokenization": ["JSON", "Messages", "Hashing", "CPCRE2"],
    "Sampling": [],
    "Kernels": ["CKernels", "Tensors"],
    "JobWatch": ["CProcess", "Collectives", "Hashing"],
    "MPICollectives": ["CMPI", "CCollectives", "CProcess", "Collectives", "JobWatch"],
    "Checkpoints": ["JSON", "Messages", "Hashing", "ModulePatterns", "CProcess", "Tensors"],
    "Architectures": ["JSON", "Messages", "Tensors", "Topology"],
    "Layers": ["Tensors", "Kernels", "Collectives", "Topology", "Architectures"],
    "Quantization": ["JSON", "Messages", "Tensors", "Checkpoints"],
    "Weights": ["Messages", "Hashing", "Quantization", "Checkpoints", "Architectures", "Topology", "Tensors"],
    "Models": [
        "Layers", "Weights", "Quantization", "Checkpoints", "Architectures", "Topology", "Collectives", "Kernels",
        "Tensors",
    ],
    "MemoryPlan": ["Architectures", "Topology", "Tensors"],
    "Sizing": ["Messages", "ModulePatterns", "MemoryPlan", "Architectures", "Topology", "Tensors"],
    "Engine": ["Hashing", "Models", "Layers", "Sampling", "Collectives", "Tensors", "Kernels"],
    "Chat": ["Jinja", "JSON", "Messages", "Tokenization"],
    "Generation": ["Engine", "Tokenization", "Sampling"],
    "ProgramEntry": ["Messages", "CProcess", "ArgumentParser"],
    "ChatOptions": ["Chat", "JSON", "ProgramEntry", "Tokenization", "ArgumentParser"],
    "ModelOptions": [
        "JSON", "Messages", "ProgramEntry", "Weights", "Quantization", "Checkpoints", "Architectures", "Topology",
        "Tensors", "ArgumentParser",
    ],
    "Bootstrap": [
        "Messages", "Hashing", "JSON", "ModelOptions", "Generation", "Engine", "Models", "Layers", "MPICollectives",
        "JobWatch",
        "Collectives", "Kernels", "MemoryPlan", "Architectures", "Topology", "Tokenization", "Tensors", "Sampling",
        "ProgramEntry", "ArgumentParser", "Logging",
    ],
]

/// The programs, each with its directory under `Sources/Commands` and the modules that it may import.
let commands: KeyValuePairs<String, (directory: String, dependencies: [String])> = [
    "generate": (
        "Generate",
        [
            "ProgramEntry", "Bootstrap", "ModelOptions", "Generation", "Engine", "Sampling", "Tokenization", "Chat",
            "ChatOptions", "JSON", "ArgumentParser",
        ]
    ),
    "evaluate": (
        "Evaluate",
        ["ProgramEntry", "Bootstrap", "ModelOptions", "Generation", "Tokenization", "ArgumentParser"]
    ),
    "bench": (
        "Bench",
        [
            "ProgramEntry", "Bootstrap", "ModelOptions", "Engine", "Generation", "Layers", "Kernels", "Architectures",
            "Tensors", "Topology", "ArgumentParser",
        ]
    ),
    "all_reduce_bench": (
        "AllReduceBench",
        [
            "ProgramEntry", "Bootstrap", "ModelOptions", "MPICollectives", "JobWatch", "Collectives", "Architectures",
            "Topology", "ArgumentParser",
        ]
    ),
    "sizing": (
        "Sizing",
        [
            "Messages", "ProgramEntry", "ModelOptions", "Weights", "Checkpoints", "Sizing", "Architectures",
            "Topology", "Tensors", "ArgumentParser",
        ]
    ),
    "tokenize": ("Tokenize", ["ProgramEntry", "Tokenization", "Chat", "ChatOptions", "JSON", "ArgumentParser"]),
    "quantize": (
        "Quantize",
        [
            "Messages", "ProgramEntry", "ModelOptions", "Quantization",
            "ArgumentParser",
        ]
    ),
]

/// The test targets under `Tests`, each with the modules that it may import besides `TestSupport`.
let tests: KeyValuePairs<String, [String]> = [
    "MessagesTests": ["Messages"],
    "HashingTests": ["Hashing"],
    "JSONTests": ["JSON"],
    "JinjaTests": ["Jinja", "JSON"],
    "TensorsTests": ["Tensors"],
    "TopologyTests": ["Topology"],
    "CollectivesTests": ["Collectives"],
    "CCollectivesTests": ["CCollectives", "Collectives"],
    "TokenizationTests": ["Tokenization"],
    "SamplingTests": ["Sampling"],
    "KernelsTests": ["CKernels", "Kernels", "Tensors", "TileStandIns"],
    "CheckpointsTests": ["JSON", "Checkpoints", "Tensors"],
    "ArchitecturesTests": ["Architectures", "Topology"],
    "QuantizationTests": ["Quantization", "Checkpoints", "Tensors"],
    "ModelsTests": [
        "Models", "ModelOptions", "Weights", "Layers", "Quantization", "Checkpoints", "Architectures", "MemoryPlan",
        "Sizing", "Topology", "Collectives", "Kernels", "Tensors", "Engine", "Sampling", "AllocationCounter",
    ],
    "SizingTests": ["Sizing", "Architectures", "Topology", "Tensors"],
    "ModelOptionsTests": ["ModelOptions", "ProgramEntry", "Topology"],
    "EngineTests": ["Engine", "Collectives"],
    "ChatTests": ["Chat", "JSON", "Jinja", "Tokenization"],
    "GenerationTests": ["Generation"],
    "BootstrapTests": ["Bootstrap", "Collectives"],
    "JobWatchTests": ["JobWatch", "Collectives"],
    "MPICollectivesTests": ["MPICollectives", "Collectives"],
    "RankTests": ["MPICollectives", "JobWatch", "Collectives", "CProcess"],
    "GoldenTests": [],
    "CommandTests": ["Checkpoints", "Kernels", "Tensors"],
]

/// The only test targets of a build that needs no others, such as one against another MPI library; nil for all.
let chosenTests = Context.environment["TRIREME_TESTS"]?.split(separator: " ").map(String.init)

/// Data files that are compiled into modules, so that programs stay single files.
let resources: [String: [Resource]] = [
    "Architectures": [.embedInCode("Resources/models.json")],
    "Sizing": [.embedInCode("Resources/profiles.json")],
]

/// Modules that come from other packages.
let products: [String: Target.Dependency] = [
    "ArgumentParser": .product(name: "ArgumentParser", package: "swift-argument-parser"),
    "Logging": .product(name: "Logging", package: "swift-log"),
]

/// The modules that a step, or a search over plans, runs through.
///
/// They are optimised in debug builds too. Unspecialised generics allocate on the heap, which the allocation test
/// counts, and the tests would take minutes longer.
let optimizedModules: Set<String> = [
    "Messages", "JSON", "Topology", "Architectures", "MemoryPlan", "Sizing", "Tensors", "Collectives", "Kernels",
    "Layers", "Hashing", "Models", "Engine",
    "Sampling", "Checkpoints",
    "Quantization", "Tokenization",
    // Its limit of depth is for the stack frames of optimised code.
    "Jinja",
    // These compare millions of elements with their definitions.
    "KernelsTests", "TestSupport",
]

/// The settings of a module, which optimise it in debug builds if it is one of `optimizedModules`.
func settings(_ name: String) -> [SwiftSetting] {
    optimizedModules.contains(name) ? [.unsafeFlags(["-O"], .when(configuration: .debug))] : []
}

func dependencies(_ names: [String]) -> [Target.Dependency] {
    names.map { products[$0] ?? .target(name: $0) }
}

/// A `switch` over formats or kinds in C names every case, so that a new one cannot fall into the wrong branch.
let fullSwitches: [CSetting] = [.unsafeFlags(["-Werror=switch-enum"])]

let foreign: [Target] = [
    .systemLibrary(
        name: "MPILibrary", pkgConfig: Context.environment["MPI_PKG_CONFIG"] ?? "ompi-c",
        providers: [.apt(["libopenmpi-dev"])]),
    .systemLibrary(name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
    .target(name: "CCollectives"),
    .target(name: "CMPI", dependencies: ["MPILibrary", "CCollectives"]),
    .target(name: "CKernels", cSettings: fullSwitches),
    .target(name: "CProcess"),
]

let package = Package(
    name: "Trireme",
    products: commands.map { .executable(name: $0.key, targets: ["\($0.value.directory)Command"]) },
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: foreign
        + libraries.map {
            .target(
                name: $0.key, dependencies: dependencies($0.value), resources: resources[$0.key],
                swiftSettings: settings($0.key))
        }
        + commands.map {
            .executableTarget(
                name: "\($0.value.directory)Command", dependencies: dependencies($0.value.dependencies),
                path: "Sources/Commands/\($0.value.directory)")
        }
        + [
            .target(
                name: "TestSupport", dependencies: ["Collectives", "Tensors"], path: "Tests/Support",
                swiftSettings: settings("TestSupport")),
            .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
            .target(
                name: "TileStandIns", dependencies: ["CKernels"], path: "Tests/TileStandIns",
                cSettings: fullSwitches),
        ]
        + tests.filter { chosenTests?.contains($0.key) ?? true }.map {
            .testTarget(
                name: $0.key, dependencies: dependencies($0.value) + ["TestSupport"], path: "Tests/\($0.key)",
                swiftSettings: settings($0.key))
        },
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c17
)

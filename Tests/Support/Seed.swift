import Glibc

/// The seed of random tests: fixed, so that a run repeats, unless the environment names another.
public let testSeed: UInt64 = getenv("TRIREME_TEST_SEED").flatMap { UInt64(String(cString: $0)) } ?? 20_261_120

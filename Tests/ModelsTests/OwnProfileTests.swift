import Engine
import Kernels
import MemoryPlan
import Sizing
import Testing

/// The profile of this runtime plans the bytes that the runtime allocates.
@Suite struct OwnProfileTests {
    @Test func sizesAreTheRuntimes() throws {
        let profile = MemoryProfile.trireme
        #expect(try profile.name == "trireme" && profile == MemoryProfile(named: "trireme"))
        #expect(profile.coefficients.overhead.value == Double(RankFootprint.overhead))
        #expect(profile.logitRows == StepLimits.logitRows)
        #expect(profile.cacheBlock == CacheStorage.blockLength)
    }
}

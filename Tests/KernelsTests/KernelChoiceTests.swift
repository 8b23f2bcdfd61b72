import Kernels
import Testing

/// Which table is chosen unasked, on processors that are not at hand too.
@Suite struct KernelChoiceTests {
    private func tables(upTo name: String) throws -> [KernelTable] {
        let all = KernelTable.all.map(\.table)
        let last = try #require(all.firstIndex { $0.name == name })
        return Array(all[...last])
    }

    private func chosen(_ supported: [KernelTable], _ vendor: ProcessorVendor) -> String? {
        KernelTable.common([KernelTable.choices(supported: supported, vendor: vendor)])?.name
    }

    #if arch(x86_64)
        /// `vdpbf16ps` is slower than float32 products on Intel's cores, and twice as fast on AMD's.
        @Test func pairsAreChosenWhereTheyAreFast() throws {
            let withPairs = try tables(upTo: "avx512bf16")
            #expect(chosen(withPairs, .intel) == "avx512vnni")
            #expect(chosen(withPairs, .amd) == "avx512bf16")
            #expect(chosen(withPairs, .other) == "avx512vnni")
            #expect(chosen(try tables(upTo: "amx"), .intel) == "amx")
            #expect(chosen(try tables(upTo: "avx2"), .amd) == "avx2")
        }

        /// Ranks of different processors meet at a table that none of them is slow with.
        @Test func ranksAgreeOnWhatIsFastOnAll() throws {
            let tiles = KernelTable.choices(supported: try tables(upTo: "amx"), vendor: .intel)
            let pairs = KernelTable.choices(supported: try tables(upTo: "avx512bf16"), vendor: .amd)
            let old = KernelTable.choices(supported: try tables(upTo: "avx2"), vendor: .intel)
            #expect(KernelTable.common([tiles, pairs])?.name == "avx512vnni")
            #expect(KernelTable.common([pairs, old, tiles])?.name == "avx2")
            #expect(KernelTable.common([pairs, pairs])?.name == "avx512bf16")
        }

        /// What is asked for by name is taken wherever it runs.
        @Test func aNameOverrulesTheRule() throws {
            let asked = KernelTable.choices("avx512bf16", supported: try tables(upTo: "amx"), vendor: .intel)
            #expect(KernelTable.common([asked])?.name == "avx512bf16")
            #expect(KernelTable.choices("amx", supported: try tables(upTo: "avx2"), vendor: .intel) == 0)
        }
    #endif

    @Test func thisProcessorRunsItsChoice() throws {
        let chosen = try #require(KernelTable.select())
        #expect(KernelTable.supported.contains { $0.name == chosen.name } && chosen.isFast(on: .current))
        #expect(KernelTable.select("scalar")?.name == "scalar")
        #expect(KernelTable.select("none of these") == nil)
    }
}

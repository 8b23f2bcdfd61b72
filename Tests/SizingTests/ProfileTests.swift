import Architectures
import Foundation
import Sizing
import TestSupport
import Testing

@Suite struct ProfileTests {
    private let path = "\(ProgramRun.repositoryPath)/Tests/Golden/ascend-min-cards.tsv"

    private func models(_ table: MeasuredTable) throws -> [(decoder: DecoderConfiguration, storage: StorageChoice)] {
        try table.rows.map { row in
            let entry = try #require(ModelCatalogue.entry(named: row.model), "\(row.model)")
            return (try entry.decoder(), storage(entry.quantization ?? "none"))
        }
    }

    @Test func theGuidesTableIsExplained() throws {
        let table = try MeasuredTable(String(contentsOfFile: path, encoding: .utf8), path: path)
        #expect(table.rows.count == 50 && table.gigabytes == 32)
        let profile = try MemoryProfile(named: "ascend-vllm")
        var (cards, both) = (0, 0)
        var misses: [String] = []
        for (row, model) in zip(table.rows, try models(table)) {
            let planner = CardPlanner(
                model.decoder, profile: profile, storage: model.storage, memory: 32 * profile.nominalGigabyte)
            let option = planner.fewestCards(length: 4096, batch: 1).option
            let isRight = option?.demands.plan.rankCount == row.cards
            if isRight { cards += 1 }
            if isRight, option?.longestLength == row.length { both += 1 } else { misses.append(row.model) }
        }
        #expect(cards >= 45 && both >= 40, "\(cards), \(both)")
        // The profile's report lists the rows that it does not explain.
        #expect(profile.fit?.cardsRight == cards && profile.fit?.bothRight == both)
        #expect(profile.fit?.misses.map { String($0.prefix { $0 != ":" }) } == misses)
        #expect(profile.coefficientRanges.count { $0.value != 0 } <= 6)
        #expect(profile.coefficientRanges.allSatisfy { $0.low <= $0.value && $0.value <= $0.high })
    }

    /// Fitting gives the coefficients of the built-in profile.
    @Test func fittingGivesTheProfile() throws {
        let table = try MeasuredTable(String(contentsOfFile: path, encoding: .utf8), path: path)
        let profile = try MemoryProfile(named: "ascend-vllm")
        let fitted = ProfileFit(table, models: try models(table), profile: try blank(profile)).fitted(
            table: "ascend-min-cards.tsv")
        #expect(
            (fitted.fit?.cardsRight ?? 0) >= 45 && (fitted.fit?.bothRight ?? 0) >= 40,
            "\(String(describing: fitted.fit))")
    }

    private func blank(_ profile: MemoryProfile) throws -> MemoryProfile {
        profile.coefficientRanges.reduce(profile) { $0.setting($1.name, to: 0) }
    }

    @Test func profilesAreReadFromFiles() throws {
        let folder = try TemporaryFolder()
        var data = try JSONEncoder().encode(try MemoryProfile(named: "vllm-cuda"))
        let good = try folder.write(String(decoding: data, as: UTF8.self), to: "good.json")
        #expect(try MemoryProfile(named: good) == MemoryProfile(named: "vllm-cuda"))
        for (key, value) in [
            ("utilization", "2"), ("card_counts", "[]"), ("card_counts", "[0]"), ("cache_block", "0"),
            ("maximum_cards", "-1"), ("memory_bandwidth_gb_per_s", "0"), ("accounting", "\"guess\""),
            ("step_tokens", "1e30"),
        ] {
            var object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
            object[key] = try JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed)
            let bad = try JSONSerialization.data(withJSONObject: object)
            let path = try folder.write(String(decoding: bad, as: UTF8.self), to: "bad.json")
            #expect(throws: SizingError.self, "\(key) \(value)") { try MemoryProfile(named: path) }
        }
        data.removeLast()
        let cut = try folder.write(String(decoding: data, as: UTF8.self), to: "cut.json")
        #expect(throws: SizingError.self) { try MemoryProfile(named: cut) }
        #expect(throws: SizingError.noProfile(name: "none", known: "trireme, ascend-vllm, vllm-cuda")) {
            try MemoryProfile(named: "none")
        }
    }

    @Test(arguments: [
        "", "model\tcards_32\n", "model\tcards_32\tmax_len_k_32\n", "model\tcards_x\tmax_len_k_x\na\t1\t1\n",
        "model\tcards_32\tmax_len_k_32\na\t1\n",
        "model\tcards_32\tmax_len_k_32\na\t0\t4\n", "model\tcards_32\tmax_len_k_32\na\t1\t99999999999999999999\n",
    ]) func badTablesAreRefused(text: String) {
        #expect(throws: SizingError.self) { try MeasuredTable(text, path: "table.tsv") }
    }

    @Test func columnsOfATableAreChosen() throws {
        let text = "model\tcards_32\tmax_len_k_32\tcards_64\tmax_len_k_64\nllama2-7b\t1\t16\t-\t-\n"
        #expect(try MeasuredTable(text, path: "").rows == [MeasuredRow(model: "llama2-7b", cards: 1, length: 16384)])
        #expect(
            try MeasuredTable(text, path: "", gigabytes: 64).rows == [
                MeasuredRow(model: "llama2-7b", cards: nil, length: nil)
            ])
        #expect(throws: SizingError.self) { try MeasuredTable(text, path: "", gigabytes: 80) }
    }
}
